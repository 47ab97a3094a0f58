// The summaries of a run's metrics.

import {get, runPath, unlessSame} from "./backend.js";

/** @type {(route: Route, run: string) => Load<Record<string, MetricSummary>>} */
export const loadValues = (route, run) => async (before, signal) =>
	unlessSame(before, await get(`${runPath(route, run)}metrics/summary/`, {}, signal));
