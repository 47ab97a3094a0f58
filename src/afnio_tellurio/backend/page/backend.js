// Requests to the backend, on the operations of the contract, and polls.
import { useEffect, useState } from "./preact.js";

const POLL_MS = 2000;
// A poll that takes long is repeated less often: the backend has runs to record.
const POLL_SHARE = 10;
const RUNS_PAGE = 1000;
// Deleted runs are noticed after so many polls.
const FULL_EVERY = 30;

export class SignedOutError extends Error {}

export const slug = encodeURIComponent;
export const projectPath = ({ namespace, project }) => `/${slug(namespace)}/projects/${slug(project)}/`;
export const runPath = (place, run) => `${projectPath(place)}runs/${slug(run)}/`;
export const comparePath = (place, runs) =>
	`${projectPath(place)}compare/?${new URLSearchParams(runs.map((run) => ["run", run]))}`;

async function answer(path, query, signal) {
	const pairs = Object.entries(query).flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, one]));
	const search = pairs.length ? `?${new URLSearchParams(pairs)}` : "";
	let response;
	try {
		response = await fetch(`/api/v0${path}${search}`, { signal });
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new Error("The backend does not answer. Is afnio-tellurio serve still running?");
	}
	if (response.status === 401) throw new SignedOutError("Sign in to see the runs.");
	if (!response.ok) {
		const body = await response.json().catch(() => ({}));
		throw new Error(body.detail ?? `The backend answered with status ${response.status}.`);
	}
	return response;
}

const ask = async (path, query, signal) => (await answer(path, query, signal)).json();

async function askAll(path, query, signal) {
	const found = [];
	let cursor;
	do {
		const page = await answer(path, { ...query, cursor }, signal);
		found.push(...(await page.json()));
		cursor = page.headers.get("Next-Cursor");
	} while (cursor);
	return found;
}

export async function signIn(key) {
	const body = JSON.stringify({ api_key: key });
	const headers = { "Content-Type": "application/json" };
	return (await fetch("/session", { method: "POST", headers, body })).ok;
}

// Each of the following takes what it gave before, and gives the same object when nothing changed.

export async function loadProjects(before, signal) {
	const namespaces = await ask("/namespaces/", {}, signal);
	const lists = await Promise.all(namespaces.map((one) => ask(`/${slug(one.slug)}/projects/`, {}, signal)));
	const found = lists.flatMap((list, index) =>
		list.map((project) => ({ ...project, namespace: namespaces[index].slug })),
	);
	return unlessSame(before, found);
}

export const loadRuns = (place) => async (before, signal) => {
	const polls = (before?.polls ?? -1) + 1;
	const isFull = polls % FULL_EVERY === 0;
	const query = { limit: RUNS_PAGE, updated_after: isFull ? undefined : before.updated };
	const found = await askAll(`${projectPath(place)}runs/`, query, signal);
	const isKnown = (run) => before?.byId.get(run.uuid)?.date_updated === run.date_updated;
	if (before && found.every(isKnown) && (!isFull || found.length === before.runs.length)) {
		return Object.assign(before, { polls });
	}
	const byId = new Map([...(isFull ? [] : before.runs), ...found].map((run) => [run.uuid, run]));
	const runs = [...byId.values()].sort((a, b) => (a.date_created < b.date_created ? 1 : -1));
	const updated = runs.map((run) => run.date_updated).reduce((a, b) => (a > b ? a : b), "");
	return { runs, byId, updated: updated || undefined, polls };
};

// A run's address has its UUID; its name serves as well.
export const loadRun = (place) => async (before, signal) => {
	const isUuid = /^[0-9a-f-]{36}$/i.test(place.run);
	if (isUuid) return unlessSame(before, await ask(runPath(place, place.run), {}, signal));
	const [named] = await ask(`${projectPath(place)}runs/`, { name: place.run, limit: 1 }, signal);
	if (!named) throw new Error(`There is no run ${place.run} in this project.`);
	return unlessSame(before, named);
};

export const running = (runs) => runs.filter((run) => run.status === "RUNNING").map(({ uuid }) => uuid);

// Addresses have a limit; all runs are meant where there are many.
const fewOf = (runs) => (runs?.length <= 100 ? runs : undefined);

// The names of all metrics are asked for anew when a run has begun or ended, or has a name that is new.
export const loadNames = (place, listed) => async (before, signal) => {
	const { runs, updated } = listed.current ?? {};
	const path = `${projectPath(place)}metrics/`;
	if (before && before.updated === updated) {
		const live = running(runs);
		const isKnown = ({ name, is_numeric }) => before.some((one) => one.name === name && one.is_numeric >= is_numeric);
		if (!live.length || (await ask(path, { run: fewOf(live) }, signal)).every(isKnown)) return before;
	}
	return Object.assign(await ask(path, {}, signal), { updated });
};

export const loadValues = (place, run) => async (before, signal) =>
	unlessSame(before, await ask(`${runPath(place, run)}metrics/summary/`, {}, signal));

// What each run has of some metrics: name -> run -> { last, minimum, maximum }.
export const loadSummaries = (place, names, runs, liveRuns) => async (before, signal) => {
	if (!names.length || (before && !liveRuns.length)) return before ?? new Map();
	const query = { name: names, run: fewOf(before ? liveRuns : runs) };
	const found = new Map(before?.entries() ?? []);
	for (const column of await ask(`${projectPath(place)}metrics/summary/`, query, signal)) {
		const values = new Map(found.get(column.name)?.entries() ?? []);
		column.run_uuid.forEach((run, index) =>
			values.set(run, { last: column.last[index], minimum: column.minimum[index], maximum: column.maximum[index] }),
		);
		found.set(column.name, values);
	}
	return found;
};

export const seriesKey = (name, run) => `${run} ${name}`;

// Ranges of values, to be drawn: seriesKey -> columns. Only what changed is asked for again.
export const loadSamples = (place, query) => async (before, signal) => {
	if (!query.run.length || !query.name.length) return before ?? { series: new Map() };
	const got = await ask(`${projectPath(place)}metrics/sample/`, { ...query, cursor: before?.cursor }, signal);
	if (before && !got.series.length) {
		before.cursor = got.cursor;
		return before;
	}
	const series = new Map(before?.series);
	for (const one of got.series) {
		const key = seriesKey(one.name, one.run_uuid);
		series.set(key, extended(series.get(key), one));
	}
	return { series, cursor: got.cursor };
};

const COLUMNS = ["step", "timestamp", "minimum", "maximum", "last", "count"];

function extended(known, fresh) {
	if (!known || fresh.replaces_from === 0) return fresh;
	let kept = known.step.length;
	while (kept && known.step[kept - 1] >= fresh.replaces_from) kept -= 1;
	const joined = { ...fresh };
	// In place: polls are many.
	for (const column of COLUMNS) {
		known[column].length = kept;
		known[column].push(...fresh[column]);
		joined[column] = known[column];
	}
	return joined;
}

function unlessSame(before, found) {
	return before && JSON.stringify(before) === JSON.stringify(found) ? before : found;
}

// Loads again and again, but not while nobody sees the page.
export function usePolled(load, inputs) {
	const [state, setState] = useState({ value: undefined, error: null });
	useEffect(() => {
		const controller = new AbortController();
		let timer = null;
		let isAsking = false;
		let memory;
		async function turn() {
			clearTimeout(timer);
			if (document.hidden || isAsking) return;
			isAsking = true;
			const began = performance.now();
			try {
				const found = await load(memory, controller.signal);
				if (controller.signal.aborted) return;
				if (found !== memory) setState({ value: found, error: null });
				else setState((held) => (held.error ? { ...held, error: null } : held));
				memory = found;
			} catch (error) {
				if (controller.signal.aborted) return;
				setState((held) => ({ ...held, error }));
			} finally {
				isAsking = false;
			}
			timer = setTimeout(turn, Math.max(POLL_MS, POLL_SHARE * (performance.now() - began)));
		}
		document.addEventListener("visibilitychange", turn);
		turn();
		return () => {
			controller.abort();
			clearTimeout(timer);
			document.removeEventListener("visibilitychange", turn);
		};
	}, inputs);
	return state;
}
