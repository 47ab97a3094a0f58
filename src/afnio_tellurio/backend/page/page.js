// The page: which view an address shows, and what all views share.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";
import { choose, chooser, Link, option, options, useAddress } from "./address.js";
import * as backend from "./backend.js";
import { AXES, ChartPart } from "./chart.js";
import { groupsOf, Head, isNumber, Mark, number, Scroll, slotOf, when } from "./format.js";
import { FACTS, KINDS, RunFilter, RunLink, RunTable, Status, chosenColumns, filtered } from "./runs.js";
import { Value } from "./values.js";

// Runs in the curves unless chosen otherwise, and at most.
const SELECTED = 10;
const MOST = 100;
// Metrics that are asked for at once.
const PART = 12;

const { projectPath, running, usePolled } = backend;

// That of the system, until another one is chosen.
function useTheme() {
	const [theme, setTheme] = useState(localStorage.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
	const other = theme === "dark" ? "light" : "dark";
	useLayoutEffect(() => {
		document.documentElement.dataset.theme = theme;
	}, [theme]);
	return [theme, html`<button onClick=${() => setTheme((localStorage.theme = other))}>${other} colours</button>`];
}

function settings() {
	const x = option("x") in AXES ? option("x") : "step";
	const smooth = Number(option("smooth"));
	const isOn = (name) => option(name) === "1";
	return { x, logX: isOn("logx") && x !== "wall", logY: isOn("logy"), smooth: smooth > 0 && smooth < 1 ? smooth : 0 };
}

function CurveSettings({ now }) {
	const box = (name, label, isOn) => html`<label><input type="checkbox" checked=${isOn} onChange=${chooser(name)} /> ${label}</label>`;
	return html`<div class="bar" role="group" aria-label="Curves">
		<label>x axis <select value=${now.x} onChange=${chooser("x")}>
			${Object.entries(AXES).map(([axis, label]) => html`<option value=${axis}>${label}</option>`)}
		</select></label>
		${box("logx", "log x", now.logX)} ${box("logy", "log y", now.logY)}
		<label>smoothing <input type="range" min="0" max="0.99" step="0.01" value=${now.smooth} onInput=${chooser("smooth")} />
			<output>${now.smooth.toFixed(2)}</output></label>
	</div>`;
}

function Curves({ place, names, runs, theme }) {
	const now = settings();
	const isLarge = names.length < 3;
	const parts = (members) => members.flatMap((_name, index) => (index % PART ? [] : [members.slice(index, index + PART)]));
	if (!names.length) return html`<p class="quiet">No numbers are logged yet.</p>`;
	return html`<${CurveSettings} now=${now} />
		${groupsOf(names).map(([group, members]) => html`<section key=${group}>
			${group && html`<h2><bdi>${group}</bdi></h2>`}
			${parts(members).map((part) => html`<${ChartPart} key=${part[0]} target=${place} names=${part} runs=${runs} settings=${now} theme=${theme} isLarge=${isLarge} />`)}
		</section>`)}`;
}

const Loading = () => html`<p class="quiet" role="status">Loading…</p>`;

function FirstRun() {
	return html`<div class="empty"><h1>No runs yet</h1><p>Three lines make the first:</p>
		<pre tabindex="0">import afnio_tellurio as te
with te.init("my-team", "My Project") as run:
    run.log("loss", 0.5)</pre></div>`;
}

function useView(title, ...polled) {
	useEffect(() => {
		document.title = `${title} · Tellurio`;
	}, [title]);
	const error = polled.map((one) => one.error).find(Boolean);
	useEffect(() => onProblem(error), [error]);
}

function Projects({ place }) {
	const { value, error } = usePolled(backend.loadProjects, []);
	useView(place.namespace ?? "Projects", { error });
	if (!value) return Loading();
	const shown = value.filter((one) => !place.namespace || one.namespace === place.namespace);
	if (!shown.length) return html`<${FirstRun} />`;
	return html`<h1>Projects</h1><${Scroll} label="Projects"><table>
		<thead><tr>${["Project", "Namespace", "Last run", "Created"].map(Head)}</tr></thead>
		<tbody>${shown.map((one) => html`<tr key=${one.uuid}>
			<th scope="row"><${Link} to=${projectPath({ namespace: one.namespace, project: one.slug })}><bdi>${one.display_name}</bdi><//></th>
			<td><bdi>${one.namespace}</bdi></td><td>${when(one.last_run_date)}</td><td>${when(one.date_created)}</td></tr>`)}</tbody>
	</table><//>`;
}

function selection(runs, byId) {
	const chosen = options("run")?.flatMap((run) => byId.get(run) ?? []) ?? runs.slice(0, SELECTED);
	const uuids = chosen.map(({ uuid }) => uuid);
	return chosen.slice(0, MOST).map((run) => ({ ...run, slot: slotOf(run.uuid, uuids) }));
}

function useProject(place) {
	const listed = usePolled(backend.loadRuns(place), []);
	const now = useRef();
	now.current = listed.value;
	return [listed, usePolled(backend.loadNames(place, now), [])];
}

function useSummaries(place, names, runs, live) {
	return usePolled(backend.loadSummaries(place, names, runs, live), [JSON.stringify([place, names, runs, live])]).value;
}

function ProjectView({ place, theme }) {
	const [listed, named] = useProject(place);
	useView(place.project, listed, named);
	const { runs, byId } = listed.value ?? { runs: [] };
	const names = named.value ?? [];
	const columns = chosenColumns(names);
	const summaries = useSummaries(place, [...new Set(columns.map(({ name }) => name))], null, running(runs));
	if (!byId) return Loading();
	if (!runs.length) return html`<${FirstRun} />`;
	const { found, problem } = filtered(runs);
	const selected = selection(found, byId);
	const uuids = selected.map(({ uuid }) => uuid);
	const onSelect = (run, isOn) => choose({ run: [...uuids.filter((one) => one !== run), ...(isOn ? [run] : [])] });
	return html`<h1><bdi>${place.project}</bdi></h1>
		<${RunFilter} names=${names} columns=${columns} problem=${problem} />
		<${RunTable} place=${place} runs=${found} columns=${columns} summaries=${summaries} selected=${selected} onSelect=${onSelect} />
		<div class="bar">
			<ul class="legend">${selected.map((run) => html`<li key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} place=${place} run=${run} /></li>`)}</ul>
			${uuids.length > 1 && html`<${Link} class="button" to=${backend.comparePath(place, uuids)}>Compare ${uuids.length} runs<//>`}
			${options("run") && html`<button onClick=${() => choose({ run: "" })}>Show the newest</button>`}
		</div>
		${named.value && html`<${Curves} place=${place} names=${names.filter((one) => one.is_numeric).map(({ name }) => name)} runs=${selected} theme=${theme} />`}`;
}

function RunView({ place, theme }) {
	const found = usePolled(backend.loadRun(place), []);
	const run = found.value;
	const values = usePolled(run ? backend.loadValues(place, run.uuid) : async () => undefined, [run?.uuid]);
	useView(run?.name ?? place.run, found, values);
	if (!run) return Loading();
	const entries = Object.entries(values.value ?? {});
	const isCurve = ([, one]) => one.minimum !== null || one.last === "NaN";
	const isValue = ([, one]) => !isNumber(one.last) && !["NaN", "Infinity", "-Infinity"].includes(one.last);
	const count = entries.reduce((sum, [, one]) => sum + one.count, 0);
	const facts = [...Object.values(FACTS).slice(1).map(([label, , show]) => [label, show(run)]), ["Metrics", entries.length], ["Values", number(count)], ["UUID", run.uuid]];
	return html`<h1><bdi>${run.name}</bdi> <${Status} run=${run} /></h1>
		<p><bdi>${run.description}</bdi></p>
		<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd>${fact}</dd></div>`)}</dl>
		${values.value && html`<${Curves} place=${place} names=${entries.filter(isCurve).map(([name]) => name)} runs=${[{ ...run, slot: 0 }]} theme=${theme} />`}
		${entries.filter(isValue).map(([name, one]) => html`<section key=${name}><h2><bdi>${name}</bdi> <small>step ${one.last_step}</small></h2><${Value} name=${name} value=${one.last} /></section>`)}`;
}

function CompareView({ place, theme }) {
	const uuids = (options("run") ?? []).slice(0, MOST);
	const [listed, named] = useProject(place);
	useView(`Comparison, ${place.project}`, listed, named);
	const runs = listed.value ? selection([], listed.value.byId) : [];
	const summaries = useSummaries(place, (named.value ?? []).map(({ name }) => name).slice(0, MOST), uuids, running(runs));
	if (!listed.value || !named.value) return Loading();
	if (runs.length < 2) return html`<p>Choose at least two runs of <${Link} to=${projectPath(place)}><bdi>${place.project}</bdi><//>.</p>`;
	const names = named.value.filter(({ name }) => runs.some((run) => summaries?.get(name)?.has(run.uuid)));
	return html`<h1>Comparison of ${runs.length} runs</h1>
		<${Differences} place=${place} runs=${runs} names=${names} summaries=${summaries} />
		<${Curves} place=${place} names=${names.filter((one) => one.is_numeric).map(({ name }) => name)} runs=${runs} theme=${theme} />`;
}

function Differences({ place, runs, names, summaries }) {
	const kind = KINDS.find((one) => one === option("of")) ?? "last";
	const value = (name, run) => summaries.get(name)?.get(run.uuid)?.[kind];
	return html`<div class="bar"><label>Values <select value=${kind} onChange=${chooser("of")}>${KINDS.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
		<span class="quiet">Differences are from the first run.</span></div>
	<${Scroll} label="Differences"><table>
		<thead><tr><td></td>${runs.map((run) => html`<th scope="col" key=${run.uuid}><${Mark} slot=${run.slot} /> <${RunLink} place=${place} run=${run} /></th>`)}</tr></thead>
		<tbody>
			${Object.values(FACTS).map(([label, , show]) => html`<tr><th scope="row">${label}</th>${runs.map((run) => html`<td>${show(run)}</td>`)}</tr>`)}
			${names.map(({ name }) => html`<tr key=${name}><th scope="row"><bdi>${name}</bdi></th>${runs.map((run, index) => html`<td>
				${number(value(name, run), 40)} <small>${index > 0 && difference(value(name, run), value(name, runs[0]))}</small></td>`)}</tr>`)}
		</tbody>
	</table><//>`;
}

function difference(value, base) {
	if (!isNumber(value) || !isNumber(base)) return "";
	if (value === base) return "=";
	const by = value - base;
	const sign = by > 0 ? "+" : "";
	return `${sign}${number(by)}${base ? ` (${sign}${((by / Math.abs(base)) * 100).toFixed(1)} %)` : ""}`;
}

let onProblem;

function SignIn({ onDone }) {
	const [isRefused, setRefused] = useState(false);
	const onSubmit = async (event) => {
		event.preventDefault();
		if (await backend.signIn(event.target.elements.key.value)) onDone();
		else setRefused(true);
	};
	return html`<form class="empty" onSubmit=${onSubmit}><h1>Sign in</h1>
		<p>Open the address that <code>serve</code> printed, or give the API key.</p>
		<p class="bar"><label>API key <input name="key" type="password" autocomplete="current-password" required /></label><button>Sign in</button></p>
		<p class="problem" role="alert">${isRefused && "The backend refuses this key."}</p></form>`;
}

function Trail({ place: { namespace, project } }) {
	const steps = [["/", "Tellurio"]];
	if (namespace) steps.push([`/${backend.slug(namespace)}/`, namespace]);
	if (project) steps.push([projectPath({ namespace, project }), project]);
	return html`<nav>${steps.map(([to, name], index) => html`${index > 0 && " / "}<${Link} to=${to}><bdi>${name}</bdi><//>`)}</nav>`;
}

const Nowhere = () => html`<p>There is no such page. <${Link} to="/">All projects<//></p>`;

const VIEWS = { projects: Projects, project: ProjectView, run: RunView, compare: CompareView };

function onKey(event) {
	const field = document.getElementById("filter");
	if (event.key !== "/" || !field || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
	event.preventDefault();
	field.focus();
}

function Page() {
	const place = useAddress();
	const [theme, themeButton] = useTheme();
	const [problem, setProblem] = useState();
	onProblem = setProblem;
	const View = VIEWS[place.view] ?? Nowhere;
	const isSignedOut = problem instanceof backend.SignedOutError;
	return html`<a class="skip" href="#main">Skip to the content</a>
		<header><${Trail} place=${place} />${themeButton}</header>
		<main id="main"><p class="problem" role="alert">${problem?.message}</p>
			${isSignedOut ? html`<${SignIn} onDone=${() => setProblem()} />` : html`<${View} key=${location.pathname} place=${place} theme=${theme} />`}</main>`;
}

addEventListener("keydown", onKey);
render(html`<${Page} />`, document.body);
