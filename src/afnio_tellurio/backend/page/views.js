// What the views share: the states before there is something to show, and the runs and metrics of a project.

import {Link, options} from "./address.js";
import {
	loadMetrics,
	loadRuns,
	loadSummaries,
	projectPath,
	UnreachableError,
	unlessChanged,
	usePolled
} from "./backend.js";
import {assignSlots} from "./format.js";
import {html, useEffect, useLayoutEffect, useRef, useState} from "./preact.js";

// Runs in the charts unless others are selected, and at most.
const SELECTED = 10;
export const MOST = 100;
// Until code that could not be loaded is requested again: the server may be back.
export const RETRY_MS = 2000;

export const Loading = () => html`<p class="quiet" role="status">Loading…</p>`;

/** @type {(props: {message?: string}) => VNode} */
export const NotFound = ({message}) =>
	html`<div class="empty"><h1>Not found</h1><p role="alert"><bdi>${message ?? "Page not found."}</bdi></p>
		<p><${Link} class="button" to="/">All projects<//></p></div>`;

// What a view shows until its first answer. The head of the page shows other errors.
/** @param {{error: (Error & {status?: number}) | null}[]} polled */
export function waiting(...polled) {
	const error = polled.map(state => state.error).find(Boolean);
	if (!error) return Loading();
	return error.status === 404 ? NotFound({message: error.message}) : "";
}

// An error of a part of a view. A server that is gone concerns all parts, so the head of the page says it.
/** @type {(props: {error: Error | null}) => VNode | string} */
export const Problem = ({error}) =>
	error && !(error instanceof UnreachableError) ? html`<p class="problem" role="alert">${error.message}</p>` : "";

/** @param {string} title @param {Props["onError"]} onError @param {{error: Error | null}[]} polled */
export function useView(title, onError, ...polled) {
	useEffect(() => {
		document.title = `${title} · Tellurio`;
	}, [title]);
	const error = polled.map(state => state.error).find(Boolean);
	useEffect(() => onError(error), [error]);
}

// Code that other views do not need.
/** @template T @param {() => Promise<T>} load @param {Props["onError"]} onError @returns {T | null} */
export function useModule(load, onError) {
	const [module, setModule] = useState(/** @type {{loaded: T} | null} */ (null));
	useLayoutEffect(() => {
		let timer = 0;
		let isOver = false;
		/** @type {Error | null} */
		let failure = null;
		const attempt = async () => {
			try {
				const loaded = await load();
				if (isOver) return;
				setModule({loaded});
				if (failure) onError(null);
			} catch (error) {
				if (isOver) return;
				failure = /** @type {Error} */ (error);
				onError(failure);
				timer = setTimeout(attempt, RETRY_MS);
			}
		};
		attempt();
		return () => {
			isOver = true;
			clearTimeout(timer);
		};
	}, []);
	return module?.loaded ?? null;
}

// A part of a view whose code is loaded when it is shown.
/** @template T @param {() => Promise<T>} load @param {(module: T) => Component} part @returns {Component} */
export const lazy = (load, part) => props => {
	const module = useModule(load, props.onError);
	return module ? html`<${part(module)} ...${props} />` : Loading();
};

/** @type {Map<string, Promise<unknown>>} */
const styled = new Map();

// Without its styles, a view still works. The HTML links those of its first view.
/** @param {string} name */
function styles(name) {
	if (document.querySelector(`link[rel=stylesheet][href="/assets/${name}"]`) && !styled.has(name)) return undefined;
	const loaded =
		styled.get(name) ??
		new Promise(resolve => {
			const link = document.createElement("link");
			link.rel = "stylesheet";
			link.href = `/assets/${name}`;
			link.onload = resolve;
			link.onerror = () => {
				styled.delete(name);
				link.remove();
				resolve(undefined);
			};
			document.head.append(link);
		});
	styled.set(name, loaded);
	return loaded;
}

// Code with styles that other views do not need.
/** @template T @param {Promise<T>} module @param {...string} names @returns {Promise<T>} */
export const withStyles = async (module, ...names) => (await Promise.all([module, ...names.map(styles)]))[0];

/** @param {Run[]} found @param {Map<string, Run>} byId @returns {ShownRun[]} */
export function selection(found, byId) {
	const chosen = options("run")?.flatMap(uuid => byId.get(uuid) ?? []) ?? found.slice(0, SELECTED);
	const shown = chosen.slice(0, MOST);
	const slots = assignSlots(shown.map(({uuid}) => uuid));
	return shown.map((run, index) => ({...run, slot: slots[index]}));
}

// What the last view of a project has loaded: the next one shows it at once.
/** @type {{path: string, list?: RunList, metrics?: MetricList}} */
let kept = {path: ""};

/** @param {Route} route @returns {typeof kept} */
function knownOf(route) {
	const path = projectPath(route);
	const list = kept.path === path ? unlessChanged(kept.list) : undefined;
	return list ? {...kept, list} : {path};
}

/** @param {Route} route @returns {Run | undefined} */
export const knownRun = route => knownOf(route).list?.byId.get(route.run);

/** @param {Route} route @returns {Run[] | undefined} */
export const knownRuns = route => knownOf(route).list?.runs;

/** @param {Route} route */
export function useRuns(route) {
	const [known] = useState(() => knownOf(route));
	const list = usePolled(loadRuns(route), [], known.list);
	kept = {...known, ...(kept.path === known.path && kept), list: list.value};
	return list;
}

// The metrics of some runs, or of all of them if it is null.
/** @param {Route} route @param {RunList | undefined} list @param {string[] | null | undefined} uuids */
export function useMetrics(route, list, uuids) {
	const [known] = useState(() => knownOf(route).metrics);
	const latest = useRef(list);
	latest.current = list;
	const metrics = usePolled(loadMetrics(route, latest, uuids), [JSON.stringify(uuids)], known);
	kept.metrics = metrics.value;
	return metrics;
}

/** @param {Route} route @param {string[]} names @param {string[] | null} uuids @param {string[]} live */
export function useSummaries(route, names, uuids, live) {
	const load = loadSummaries(route, names, uuids, live);
	return usePolled(load, [JSON.stringify([route, names, uuids, live])]).value;
}

/** @param {Metric[]} metrics */
export const numericNames = metrics => metrics.filter(metric => metric.is_numeric).map(({name}) => name);
