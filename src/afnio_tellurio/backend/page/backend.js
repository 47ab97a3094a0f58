// Requests to the backend, by the operations of the contract, and polling.
import {useEffect, useLayoutEffect, useState} from "./preact.js";

const POLL_MS = 2000;
// A slow poll is repeated less often: the backend has runs to record.
const POLL_SHARE = 10;
const RUNS_PAGE = 1000;
// Polls until the whole list of runs is loaded again, which shows what other programs deleted.
const FULL_EVERY = 30;

export class SignedOutError extends Error {}
export class UnreachableError extends Error {}

// Whether the last request reached the server.
const connection = Object.assign(new EventTarget(), {isLost: false});

/** @param {boolean} isLost */
function setLost(isLost) {
	if (connection.isLost === isLost) return;
	connection.isLost = isLost;
	connection.dispatchEvent(new Event("change"));
}

export function useConnection() {
	const [isLost, setState] = useState(connection.isLost);
	useEffect(() => {
		const onChange = () => setState(connection.isLost);
		connection.addEventListener("change", onChange);
		return () => connection.removeEventListener("change", onChange);
	}, []);
	return !isLost;
}

export const slug = encodeURIComponent;
/** @param {Pick<Route, "namespace" | "project">} route */
export const projectPath = ({namespace, project}) => `/${slug(namespace)}/projects/${slug(project)}/`;
/** @param {Route} route @param {string} run */
export const runPath = (route, run) => `${projectPath(route)}runs/${slug(run)}/`;
/** @param {Pick<Route, "namespace" | "project">} route @param {...string} parts */
export const artifactPath = (route, ...parts) =>
	`${projectPath(route)}artifacts/${parts.map(part => `${slug(part)}/`).join("")}`;
/** @param {Route} route @param {string[]} uuids */
export const comparePath = (route, uuids) =>
	`${projectPath(route)}compare/?${new URLSearchParams(uuids.map(uuid => ["run", uuid]))}`;

// Not a cookie, which browsers send to every port of this host. Tabs share it.
/** @returns {Record<string, string>} */
const authorization = () => (localStorage.session ? {Authorization: `Session ${localStorage.session}`} : {});

/** @param {{api_key: string} | {token: string}} credentials */
async function openSession(credentials) {
	const headers = {"Content-Type": "application/json"};
	const response = await fetch("/session", {method: "POST", headers, body: JSON.stringify(credentials)});
	if (response.ok) Object.assign(localStorage, await response.json());
	return response.ok;
}

// After a restart of the server. The secret stays here: another program could listen on the port meanwhile.
/** @param {string | undefined} used @returns {Promise<boolean>} whether there is another one than the one that was used */
async function continueSession(used) {
	const {secret} = localStorage;
	// Another tab was faster.
	if (used !== localStorage.session) return true;
	// Browsers have no `subtle` on pages of plain HTTP from other machines.
	if (!secret || !used || !crypto.subtle) return false;
	const {start} = await (await fetch("/session")).json();
	const encode = (/** @type {string} */ text) => new TextEncoder().encode(text);
	const key = await crypto.subtle.importKey("raw", encode(secret), {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
	const proof = new Uint8Array(await crypto.subtle.sign("HMAC", key, encode(start)));
	// The person signed out meanwhile.
	if (localStorage.secret !== secret) return false;
	localStorage.session = `${used.split(".")[0]}.${btoa(String.fromCharCode(...proof))}`;
	return localStorage.session !== used;
}

// The link that `serve` prints has a token, in the part of the address that is sent to no server.
const TOKEN = /^#token=/;
let isLinkInvalid = false;
export const wasLinkInvalid = () => isLinkInvalid;
async function redeemToken() {
	if (!TOKEN.test(location.hash)) return;
	const token = location.hash.replace(TOKEN, "");
	history.replaceState(null, "", location.pathname + location.search);
	// The next request reports a server that cannot be reached.
	isLinkInvalid = !(await openSession({token}).catch(() => true));
	dispatchEvent(new Event("popstate"));
}
const tokenRedeemed = redeemToken();
// A person opens the link in a tab that has the page already.
addEventListener("hashchange", () => TOKEN.test(location.hash) && location.reload());

/** @param {string} path @param {Query} query @param {AbortSignal} [signal] @param {RequestInit} [others] */
async function request(path, query, signal, {headers, ...others} = {}) {
	await tokenRedeemed;
	const pairs = Object.entries(query).flatMap(([name, value]) => [value ?? []].flat().map(item => [name, `${item}`]));
	const search = pairs.length ? `?${new URLSearchParams(pairs)}` : "";
	const ask = () => fetch(`/api/v0${path}${search}`, {signal, ...others, headers: {...headers, ...authorization()}});
	let response;
	try {
		const used = localStorage.session;
		response = await ask();
		if (response.status === 401 && (await continueSession(used))) response = await ask();
	} catch (error) {
		if (signal?.aborted) throw error;
		setLost(true);
		throw new UnreachableError("Can't reach the server.");
	}
	setLost(false);
	if (response.status === 401) throw new SignedOutError("Sign in to see your runs.");
	if (!response.ok) {
		const body = await response.json().catch(() => ({}));
		// An invalid parameter is named: {"where": ["..."]}.
		const [reason] = [body.detail ?? Object.values(body)].flat(2);
		const [field] = Object.keys(body);
		const message = typeof reason === "string" ? reason : `The server returned status ${response.status}.`;
		throw Object.assign(new Error(message), {status: response.status, field});
	}
	return response;
}

/** @param {Parameters<typeof request>} call */
export const get = async (...call) => (await request(...call)).json();

// A file of a run or an artifact, or a part of it.
/** @param {string} path @param {Query} query @param {AbortSignal} signal @param {[number, number]} [range] */
export async function getBytes(path, query, signal, range) {
	const headers = range ? {Range: `bytes=${range[0]}-${range[1] - 1}`} : {};
	return (await request(path, query, signal, {headers: /** @type {HeadersInit} */ (headers)})).blob();
}

// Changes by this page, after which the whole list is loaded again.
let changes = 0;
export const changesNow = () => changes;

// What changes something. The next poll brings the result.
/** @param {string} method @param {string} path @param {object} [body] @param {Record<string, string>} [headers] */
export async function send(method, path, body, headers) {
	const json = {...headers, "Content-Type": "application/json"};
	await request(path, {}, undefined, body ? {method, headers: json, body: JSON.stringify(body)} : {method});
	changes += 1;
}

/** @param {string} path @param {Query} query @param {AbortSignal} signal */
export async function* pagesOf(path, query, signal) {
	/** @type {string | null | undefined} */
	let cursor;
	do {
		const page = await request(path, {...query, cursor}, signal);
		yield await page.json();
		cursor = page.headers.get("Next-Cursor");
	} while (cursor);
}

/** @param {string} path @param {Query} query @param {AbortSignal} signal */
export async function getAll(path, query, signal) {
	const items = [];
	for await (const page of pagesOf(path, query, signal)) items.push(...page);
	return items;
}

/** @param {string} key */
export const signIn = key => openSession({api_key: key});

export async function signOut() {
	await continueSession(localStorage.session);
	await fetch("/session", {method: "DELETE", headers: authorization()});
	localStorage.removeItem("session");
	localStorage.removeItem("secret");
}

/** @type {Load<ProjectList>} */
export async function loadProjects(before, signal) {
	/** @type {Namespace[]} */
	const namespaces = await getAll("/namespaces/", {}, signal);
	const lists = await Promise.all(
		namespaces.map(namespace => getAll(`/${slug(namespace.slug)}/projects/`, {}, signal))
	);
	const projects = lists.flatMap((list, index) =>
		list.map((/** @type {Project} */ project) => ({...project, namespace: namespaces[index].slug}))
	);
	return unlessSame(before, {projects, namespaces: namespaces.map(namespace => namespace.slug)});
}

// Once, unless its counts are shown.
/** @type {(route: Route, hasCounts?: boolean) => Load<Omit<Project, "namespace"> | null>} */
export const loadProject = (route, hasCounts) => async (before, signal) =>
	before && !hasCounts ? before : route.project ? unlessSame(before, await get(projectPath(route), {}, signal)) : null;

/** @type {(route: Route) => Load<RunList>} */
export const loadRuns = route => async (before, signal) => {
	const polls = (before?.polls ?? -1) + 1;
	if (before && polls < 0) return Object.assign(before, {polls});
	const seen = changes;
	const isFull = polls % FULL_EVERY === 0 || before?.changes !== seen;
	const query = {limit: RUNS_PAGE, updated_after: isFull ? undefined : before?.updated};
	/** @type {Run[]} */
	const fresh = await getAll(`${projectPath(route)}runs/`, query, signal);
	if (before) {
		const isKnown = (/** @type {Run} */ run) => before.byId.get(run.uuid)?.date_updated === run.date_updated;
		if (fresh.every(isKnown) && (!isFull || fresh.length === before.runs.length))
			return Object.assign(before, {polls, changes: seen});
	}
	const byId = new Map([...(isFull || !before ? [] : before.runs), ...fresh].map(run => [run.uuid, run]));
	const runs = [...byId.values()].sort((a, b) => (a.date_created < b.date_created ? 1 : -1));
	const updated = runs
		.map(run => run.date_updated)
		.sort()
		.at(-1);
	return {runs, byId, updated, polls, changes: seen};
};

// A list that another view has loaded, unless this page has changed a run since. The second poll loads all of it again.
/** @param {RunList | undefined} list */
export const unlessChanged = list => (list?.changes === changes ? Object.assign(list, {polls: -2}) : undefined);

// The UUIDs of the runs that the backend finds, in its order; null if it is not asked. Without a running run they change with the list alone.
/** @type {(route: Route, query: Query | null, list: {current: RunList | undefined}) => Load<MatchList | null>} */
export const loadMatches = (route, query, list) => async (before, signal) => {
	const {runs, updated} = list.current ?? {runs: []};
	if (!query) return null;
	if (before && before.updated === updated && !running(runs).length) return before;
	/** @type {Run[]} */
	const found = await getAll(`${projectPath(route)}runs/`, {...query, limit: RUNS_PAGE}, signal);
	return unlessSame(before, {uuids: found.map(({uuid}) => uuid), updated});
};

/** @param {Run[]} runs */
export const running = runs => runs.filter(run => run.status === "RUNNING").map(({uuid}) => uuid);

// Runs and names of metrics in one request.
const MOST = 100;

// Addresses have a limit; without a list, the backend answers for all runs.
/** @param {string[] | null} uuids */
const unlessMany = uuids => (uuids && uuids.length <= MOST ? uuids : undefined);

// The metrics of some runs, or of all if it is null. They are loaded again only after a run started or ended, or a running one has a new name.
/** @type {(route: Route, list: {current: RunList | undefined}, uuids: string[] | null | undefined) => Load<MetricList | undefined>} */
export const loadMetrics = (route, list, uuids) => async (before, signal) => {
	const {runs, updated} = list.current ?? {runs: []};
	// Which runs is not known yet.
	if (uuids === undefined) return before;
	const path = `${projectPath(route)}metrics/`;
	if (before && before.updated === updated && String(before.uuids) === String(uuids)) {
		const live = running(uuids ? runs.filter(({uuid}) => uuids.includes(uuid)) : runs);
		const isKnown = (/** @type {Metric} */ {name, is_numeric}) =>
			before.some(metric => metric.name === name && metric.is_numeric >= is_numeric);
		if (!live.length || (await getAll(path, {run: unlessMany(live)}, signal)).every(isKnown)) return before;
	}
	return Object.assign(await getAll(path, {run: uuids ?? undefined}, signal), {updated, uuids});
};

// What each run has of some metrics: name -> run -> {last, minimum, maximum}.
/** @type {(route: Route, names: string[], uuids: string[] | null, live: string[]) => Load<Summaries | undefined>} */
export const loadSummaries = (route, names, uuids, live) => async (before, signal) => {
	if (!names.length || (before && !live.length)) return before;
	const run = unlessMany(before ? live : uuids);
	const summaries = new Map(before);
	const parts = Array.from({length: Math.ceil(names.length / MOST)}, (_, part) => {
		const query = {name: names.slice(part * MOST, (part + 1) * MOST), run};
		return getAll(`${projectPath(route)}metrics/summary/`, query, signal);
	});
	/** @type {SummaryColumns[]} */
	const fresh = (await Promise.all(parts)).flat();
	for (const {name, run_uuid, last, minimum, maximum} of fresh) {
		const values = new Map(summaries.get(name));
		run_uuid.forEach((run, index) => {
			values.set(run, {last: last[index], minimum: minimum[index], maximum: maximum[index]});
		});
		summaries.set(name, values);
	}
	return summaries;
};

/** @param {string} name @param {string} run */
export const seriesKey = (name, run) => `${run} ${name}`;

// Only series that changed are loaded again.
/** @type {(route: Route, query: {run: string[], name: string[]} & Query) => Load<SampleCache>} */
export const loadSamples = (route, query) => async (before, signal) => {
	if (!query.run.length || !query.name.length) return before ?? {series: new Map()};
	/** @type {Samples} */
	const fresh = await get(`${projectPath(route)}metrics/sample/`, {...query, cursor: before?.cursor}, signal);
	if (before && !fresh.series.length) {
		before.cursor = fresh.cursor;
		return before;
	}
	const series = new Map(before?.series);
	for (const one of fresh.series) {
		const key = seriesKey(one.name, one.run_uuid);
		series.set(key, extended(series.get(key), one));
	}
	return {series, cursor: fresh.cursor};
};

const COLUMNS = /** @type {const} */ (["step", "timestamp", "minimum", "maximum", "last", "count"]);

/** @param {Series | undefined} known @param {Series} fresh @returns {Series} */
function extended(known, fresh) {
	if (!known || fresh.replaces_from === 0) return fresh;
	let kept = known.step.length;
	while (kept && known.step[kept - 1] >= fresh.replaces_from) kept -= 1;
	const joined = {...fresh};
	// In place: polls are many.
	for (const column of COLUMNS) {
		/** @type {unknown[]} */
		const values = known[column];
		values.length = kept;
		values.push(...fresh[column]);
		Object.assign(joined, {[column]: values});
	}
	return joined;
}

/** @template T @param {T | undefined} before @param {T} fresh */
export function unlessSame(before, fresh) {
	return before && JSON.stringify(before) === JSON.stringify(fresh) ? before : fresh;
}

// Loads again and again while the page is visible; begins before the next frame. It may have a value at once.
/** @template T @param {Load<T>} load @param {unknown[]} inputs @param {T} [known] */
export function usePolled(load, inputs, known) {
	const [state, setState] = useState(/** @type {Polled<T>} */ ({value: known, error: null}));
	useLayoutEffect(() => {
		const controller = new AbortController();
		let timer = 0;
		let isLoading = false;
		/** @type {T | undefined} */
		let memory = known;
		async function poll() {
			clearTimeout(timer);
			if (document.hidden || isLoading) return;
			isLoading = true;
			const began = performance.now();
			try {
				const value = await load(memory, controller.signal);
				if (controller.signal.aborted) return;
				// The value may be the known one, after others were shown.
				setState(held => {
					const shown = value === undefined ? held.value : value;
					return held.error || held.value !== shown ? {value: shown, error: null} : held;
				});
				memory = value;
			} catch (error) {
				if (controller.signal.aborted) return;
				setState(held => ({...held, error: /** @type {Error} */ (error)}));
			} finally {
				isLoading = false;
			}
			timer = setTimeout(poll, Math.max(POLL_MS, POLL_SHARE * (performance.now() - began)));
		}
		document.addEventListener("visibilitychange", poll);
		poll();
		return () => {
			controller.abort();
			clearTimeout(timer);
			document.removeEventListener("visibilitychange", poll);
		};
	}, inputs);
	return state;
}
