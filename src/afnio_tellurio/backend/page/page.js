// The page: which view an address shows, and what all views share.

import {Link, option, optionSetter, options, setOptions, useRoute} from "./address.js";
import * as backend from "./backend.js";
import {AXES, ChartPart} from "./chart.js";
import {capitalized, groupsOf, Head, isNumber, Mark, number, Scroll, slotOf, when} from "./format.js";
import {html, render, useEffect, useLayoutEffect, useRef, useState} from "./preact.js";
import {chosenColumns, FACTS, KINDS, RunFilter, RunLink, RunTable, Status, useFiltered} from "./runs.js";

// Runs in the charts unless others are selected, and at most.
const SELECTED = 10;
const MOST = 100;
// Metrics in one request.
const PART = 12;

const {projectPath, running, usePolled} = backend;

// The system's theme, until another one is chosen.
/** @returns {[string, VNode]} */
function useTheme() {
	const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
	const [theme, setTheme] = useState(localStorage.theme ?? system);
	useLayoutEffect(() => {
		document.documentElement.dataset.theme = theme;
	}, [theme]);
	const other = theme === "dark" ? "light" : "dark";
	const onClick = () => {
		localStorage.theme = other;
		setTheme(other);
	};
	const icon = theme === "dark" ? "☀" : "☾";
	return [
		theme,
		html`<button onClick=${onClick}><span aria-hidden="true">${icon}</span> ${capitalized(other)} mode</button>`
	];
}

/** @returns {Settings} */
function chosenSettings() {
	const chosen = option("x");
	const x = Object.hasOwn(AXES, chosen) ? /** @type {Axis} */ (chosen) : "step";
	const smooth = Number(option("smooth"));
	const isOn = (/** @type {string} */ name) => option(name) === "1";
	return {x, logX: isOn("logx") && x !== "wall", logY: isOn("logy"), smooth: smooth > 0 && smooth < 1 ? smooth : 0};
}

/** @type {Component} */
function CurveSettings({settings}) {
	/** @type {(name: string, label: string, isOn: boolean) => VNode} */
	const box = (name, label, isOn) =>
		html`<label><input type="checkbox" checked=${isOn} onChange=${optionSetter(name)} /> ${label}</label>`;
	return html`<div class="bar" role="group" aria-label="Charts">
		<label>X axis <select value=${settings.x} onChange=${optionSetter("x")}>
			${Object.entries(AXES).map(([axis, label]) => html`<option value=${axis}>${capitalized(label)}</option>`)}
		</select></label>
		${box("logx", "Log x", settings.logX)} ${box("logy", "Log y", settings.logY)}
		<label>Smoothing <input type="range" min="0" max="0.99" step="0.01" value=${settings.smooth} onInput=${optionSetter("smooth")} />
			<output>${settings.smooth.toFixed(2)}</output></label>
	</div>`;
}

/** @type {Component} */
function Curves({route, names, shownRuns, theme}) {
	const settings = chosenSettings();
	const isLarge = names.length < 3;
	const parts = (/** @type {string[]} */ members) =>
		members.flatMap((_name, index) => (index % PART ? [] : [members.slice(index, index + PART)]));
	if (!names.length) return html`<p class="quiet">No numeric metrics yet.</p>`;
	return html`<${CurveSettings} settings=${settings} />
		${groupsOf(names).map(
			([group, members]) => html`<section key=${group}>
			${group && html`<h2><bdi>${group}</bdi></h2>`}
			${parts(members).map(part => html`<${ChartPart} key=${part[0]} route=${route} names=${part} shownRuns=${shownRuns} settings=${settings} theme=${theme} isLarge=${isLarge} />`)}
		</section>`
		)}`;
}

const Loading = () => html`<p class="quiet" role="status">Loading…</p>`;

const FirstRun = () => html`<div class="empty"><h1>No runs yet</h1><p>Log your first run:</p>
		<pre tabindex="0">import afnio_tellurio as te
with te.init("my-team", "My Project") as run:
    run.log("loss", 0.5)</pre></div>`;

/** @param {string} title @param {Props["onError"]} onError @param {{error: Error | null}[]} polled */
function useView(title, onError, ...polled) {
	useEffect(() => {
		document.title = `${title} · Tellurio`;
	}, [title]);
	const error = polled.map(state => state.error).find(Boolean);
	useEffect(() => onError(error), [error]);
}

/** @type {Component} */
function Projects({route, onError}) {
	const projects = usePolled(backend.loadProjects, []);
	useView(route.namespace || "Projects", onError, projects);
	if (!projects.value) return Loading();
	const shown = projects.value.filter(({namespace}) => !route.namespace || namespace === route.namespace);
	if (!shown.length) return FirstRun();
	return html`<h1>Projects</h1><${Scroll} label="Projects"><table>
		<thead><tr>${["Project", "Namespace", "Last run", "Created"].map(Head)}</tr></thead>
		<tbody>${shown.map(
			project => html`<tr key=${project.uuid}>
			<th scope="row"><${Link} to=${projectPath({namespace: project.namespace, project: project.slug})}><bdi>${project.display_name}</bdi><//></th>
			<td><bdi>${project.namespace}</bdi></td><td>${when(project.last_run_date)}</td><td>${when(project.date_created)}</td></tr>`
		)}</tbody>
	</table><//>`;
}

/** @param {Run[]} runs @param {Map<string, Run>} byId @returns {ShownRun[]} */
function selection(runs, byId) {
	const chosen = options("run")?.flatMap(uuid => byId.get(uuid) ?? []) ?? runs.slice(0, SELECTED);
	const uuids = chosen.map(({uuid}) => uuid);
	return chosen.slice(0, MOST).map(run => ({...run, slot: slotOf(run.uuid, uuids)}));
}

/** @param {Route} route */
function useProject(route) {
	const list = usePolled(backend.loadRuns(route), []);
	const latest = useRef(list.value);
	latest.current = list.value;
	return {list, metrics: usePolled(backend.loadMetrics(route, latest), [])};
}

/** @param {Route} route @param {string[]} names @param {string[] | null} uuids @param {string[]} live */
function useSummaries(route, names, uuids, live) {
	const load = backend.loadSummaries(route, names, uuids, live);
	return usePolled(load, [JSON.stringify([route, names, uuids, live])]).value;
}

/** @param {Metric[]} metrics */
const numericNames = metrics => metrics.filter(metric => metric.is_numeric).map(({name}) => name);

/** @type {{runs: Run[], byId?: Map<string, Run>}} */
const NO_RUNS = {runs: []};

/** @type {Component} */
function ProjectView({route, theme, onError}) {
	const {list, metrics: listed} = useProject(route);
	useView(route.project, onError, list, listed);
	const {runs, byId} = list.value ?? NO_RUNS;
	const {found, problem} = useFiltered(runs);
	const metrics = listed.value ?? [];
	const columns = chosenColumns(metrics);
	const summaries = useSummaries(route, [...new Set(columns.map(({name}) => name))], null, running(runs));
	if (!byId) return Loading();
	if (!runs.length) return html`<${Tabs} route=${route} />${FirstRun()}`;
	const shownRuns = selection(found, byId);
	const uuids = shownRuns.map(({uuid}) => uuid);
	/** @type {Props["onSelect"]} */
	const onSelect = (uuid, isShown) =>
		setOptions({run: [...uuids.filter(other => other !== uuid), ...(isShown ? [uuid] : [])]});
	return html`<h1><bdi>${route.project}</bdi></h1><${Tabs} route=${route} />
		<${RunFilter} metrics=${metrics} columns=${columns} problem=${problem} />
		<${RunTable} route=${route} runs=${found} columns=${columns} summaries=${summaries} shownRuns=${shownRuns} onSelect=${onSelect} />
		<div class="bar">
			<ul class="legend">${shownRuns.map(run => html`<li key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} route=${route} run=${run} /></li>`)}</ul>
			${uuids.length > 1 && html`<${Link} class="button" to=${backend.comparePath(route, uuids)}>Compare ${uuids.length} runs<//>`}
			${options("run") && html`<button onClick=${() => setOptions({run: ""})}>Reset selection</button>`}
		</div>
		${listed.value && html`<${Curves} route=${route} names=${numericNames(metrics)} shownRuns=${shownRuns} theme=${theme} />`}`;
}

/** @type {Component} */
function Tabs({route}) {
	/** @type {(to: string, label: string, isCurrent: boolean) => VNode} */
	const tab = (to, label, isCurrent) =>
		html`<${Link} class="button" to=${to} aria-current=${isCurrent ? "page" : undefined}>${label}<//>`;
	const isArtifacts = route.view === "artifacts";
	return html`<nav class="bar" aria-label="Project">${tab(projectPath(route), "Runs", !isArtifacts)}${tab(backend.artifactPath(route), "Artifacts", isArtifacts)}</nav>`;
}

/** @type {Component} */
function ArtifactsView({route, onError}) {
	const {project, artifact, version} = route;
	const [parts, setParts] = useState(/** @type {typeof import("./artifacts.js") | null} */ (null));
	useEffect(() => void import("./artifacts.js").then(setParts, onError), []);
	useView([artifact, version].filter(Boolean).join(":") || `Artifacts, ${project}`, onError);
	return html`${!artifact && html`<h1><bdi>${project}</bdi></h1><${Tabs} route=${route} />`}
		${parts ? html`<${parts.Artifacts} route=${route} onError=${onError} />` : Loading()}`;
}

/** @type {Component} */
function RunView({route, theme, onError}) {
	// Other views do not need them.
	const [parts, setParts] = useState(/** @type {typeof import("./details.js") | null} */ (null));
	useEffect(() => void import("./details.js").then(setParts, onError), []);
	const loaded = usePolled(backend.loadRun(route), []);
	const run = loaded.value;
	const values = usePolled(run ? backend.loadValues(route, run.uuid) : async before => before, [run?.uuid]);
	useView(run?.name ?? route.run, onError, loaded, values);
	if (!run || !parts) return Loading();
	const entries = Object.entries(values.value ?? {});
	const isValue = (/** @type {unknown} */ value) =>
		!isNumber(value) && !["NaN", "Infinity", "-Infinity"].includes(String(value));
	const curves = entries.filter(([, {minimum, last}]) => minimum !== null || last === "NaN").map(([name]) => name);
	const count = entries.reduce((sum, [, summary]) => sum + summary.count, 0);
	const facts = [
		...Object.values(FACTS)
			.slice(1)
			.map(([label, , show]) => [label, show(run)])
			.filter(([, fact]) => fact),
		["Metrics", number(entries.length)],
		["Values", number(count)],
		["UUID", run.uuid]
	];
	return html`<h1><bdi>${run.name}</bdi> <${Status} run=${run} /></h1>
		<p><bdi>${run.description}</bdi></p>
		<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd>${fact}</dd></div>`)}</dl>
		<${parts.RunDetails} route=${route} run=${run} />
		${values.value && html`<${Curves} route=${route} names=${curves} shownRuns=${[{...run, slot: 0}]} theme=${theme} />`}
		${entries
			.filter(([, {last}]) => isValue(last))
			.map(
				([name, {last, last_step}]) =>
					html`<section key=${name}><h2><bdi>${name}</bdi> <small>step ${last_step}</small></h2><${parts.Value} name=${name} value=${last} /></section>`
			)}
		<${parts.RunStore} route=${route} run=${run} />`;
}

/** @type {Component} */
function CompareView({route, theme, onError}) {
	const uuids = (options("run") ?? []).slice(0, MOST);
	const {list, metrics: listed} = useProject(route);
	useView(`Comparison, ${route.project}`, onError, list, listed);
	const shownRuns = list.value ? selection([], list.value.byId) : [];
	const names = (listed.value ?? []).map(({name}) => name).slice(0, MOST);
	const summaries = useSummaries(route, names, uuids, running(shownRuns));
	if (!list.value || !listed.value) return Loading();
	if (shownRuns.length < 2)
		return html`<p>Select at least two runs of <${Link} to=${projectPath(route)}><bdi>${route.project}</bdi><//> to compare them.</p>`;
	const metrics = listed.value.filter(({name}) => shownRuns.some(run => summaries?.get(name)?.has(run.uuid)));
	return html`<h1>Comparison of ${shownRuns.length} runs</h1>
		<${Differences} route=${route} shownRuns=${shownRuns} metrics=${metrics} summaries=${summaries} />
		<${Curves} route=${route} names=${numericNames(metrics)} shownRuns=${shownRuns} theme=${theme} />`;
}

/** @type {Component} */
function Differences({route, shownRuns, metrics, summaries}) {
	const kind = KINDS.find(one => one === option("of")) ?? "last";
	const [base] = shownRuns;
	const value = (/** @type {string} */ name, /** @type {Run} */ run) => summaries?.get(name)?.get(run.uuid)?.[kind];
	return html`<div class="bar"><label>Value <select value=${kind} onChange=${optionSetter("of")}>${KINDS.map(one => html`<option value=${one}>${capitalized(one)}</option>`)}</select></label>
		<span class="quiet">Compared with <bdi>${base.name}</bdi></span></div>
	<${Scroll} label="Differences"><table>
		<thead><tr><td></td>${shownRuns.map(run => html`<th scope="col" key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} route=${route} run=${run} /></th>`)}</tr></thead>
		<tbody>
			${Object.values(FACTS).map(([label, , show]) => html`<tr><th scope="row">${label}</th>${shownRuns.map(run => html`<td>${show(run)}</td>`)}</tr>`)}
			${metrics.map(
				({name}) =>
					html`<tr key=${name}><th scope="row"><bdi>${name}</bdi></th>${shownRuns.map(
						run => html`<td>
				${number(value(name, run), 40)} <small>${run !== base && difference(value(name, run), value(name, base))}</small></td>`
					)}</tr>`
			)}
		</tbody>
	</table><//>`;
}

/** @param {unknown} value @param {unknown} base */
function difference(value, base) {
	if (!isNumber(value) || !isNumber(base)) return "";
	if (value === base) return "=";
	const by = value - base;
	const sign = by > 0 ? "+" : "";
	return `${sign}${number(by)}${base ? ` (${sign}${((by / Math.abs(base)) * 100).toFixed(1)}%)` : ""}`;
}

/** @type {Component} */
function SignIn({onDone}) {
	const [isInvalid, setInvalid] = useState(false);
	/** @param {SubmitEvent} event */
	const onSubmit = async event => {
		event.preventDefault();
		const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
		if (await backend.signIn(String(form.get("key")))) onDone();
		else setInvalid(true);
	};
	return html`<form class="empty" onSubmit=${onSubmit}><h1>Sign in</h1>
		<p>Open the link printed by <code>afnio-tellurio serve</code>, or enter the API key.</p>
		<p class="bar"><label>API key <input name="key" type="password" autocomplete="current-password" required /></label><button>Sign in</button></p>
		<p class="problem" role="alert">${isInvalid && "Invalid API key."}</p></form>`;
}

/** @type {Component} */
function Trail({route: {view, namespace, project, artifact, version}}) {
	const steps = [["/", "Tellurio"]];
	if (namespace) steps.push([`/${backend.slug(namespace)}/`, namespace]);
	if (project) steps.push([projectPath({namespace, project}), project]);
	const path = (/** @type {string[]} */ ...parts) => backend.artifactPath({namespace, project}, ...parts);
	if (view === "artifacts" && artifact) steps.push([path(), "Artifacts"]);
	if (view === "artifacts" && version) steps.push([path(artifact), artifact]);
	return html`<nav>${steps.map(([to, name], index) => html`${index > 0 && " / "}<${Link} to=${to}><bdi>${name}</bdi><//>`)}</nav>`;
}

const NotFound = () => html`<p>Page not found. <${Link} to="/">All projects<//></p>`;

const VIEWS = {
	projects: Projects,
	project: ProjectView,
	run: RunView,
	compare: CompareView,
	artifacts: ArtifactsView,
	unknown: NotFound
};

/** @param {KeyboardEvent} event */
function onKey(event) {
	const field = document.getElementById("filter");
	if (event.key !== "/" || !field || /^(INPUT|SELECT)$/.test(/** @type {Element} */ (event.target).tagName)) return;
	event.preventDefault();
	field.focus();
}

function Page() {
	const route = useRoute();
	const [theme, themeButton] = useTheme();
	const [error, setError] = useState(/** @type {Error | null | undefined} */ (null));
	const View = VIEWS[route.view];
	const isSignedOut = error instanceof backend.SignedOutError;
	const onSignOut = async () => {
		await backend.signOut();
		setError(new backend.SignedOutError());
	};
	return html`<a class="skip" href="#main">Skip to content</a>
		<header><${Trail} route=${route} />${themeButton}
			${localStorage.session && html`<button onClick=${onSignOut}>Sign out</button>`}</header>
		<main id="main"><p class="problem" role="alert">${error?.message}</p>
			${isSignedOut ? html`<${SignIn} onDone=${() => setError(null)} />` : html`<${View} key=${location.pathname} route=${route} theme=${theme} onError=${setError} />`}</main>`;
}

addEventListener("keydown", onKey);
render(html`<${Page} />`, document.body);
