// Where a version comes from and what became of it, as a graph: its runs, and their other artifacts. Or the same of a run.

import {Link} from "./address.js";
import {artifactPath, get, runPath, usePolled} from "./backend.js";
import {counted, Scroll} from "./format.js";
import {html, useRef, useState} from "./preact.js";
import {useSeen} from "./previews.js";
import {Loading, Problem} from "./views.js";

const RUNS = 100;
// Nodes of a stage.
const SHOWN = 8;
// Runs whose other artifacts are loaded at first, and artifacts of each.
const FEW = 3;
const LINKS = 100;
// Characters that are always shown of a name.
const END = 8;

const STAGES = ["From", "Created by", "This version", "Used by", "To create"];
const RUN_STAGES = ["Created by", "Used", "This run", "Created", "Used by"];
const [SOURCES, PRODUCERS, VERSION, CONSUMERS, RESULTS] = STAGES.keys();

// What does not fit is left out before the end: names often differ there.
/** @param {string} name */
function cut(name) {
	const characters = Array.from(name);
	const end = characters.splice(Math.max(END, characters.length - END)).join("");
	return html`<bdi class="cut"><span>${characters.join("")}</span><span>${end}</span></bdi>`;
}

// Those that created the version first.
/** @param {Neighbor[]} neighbors */
function shownRuns(neighbors) {
	const isSource = (/** @type {Neighbor} */ {run}) => run.direction === "output";
	const users = neighbors.filter(neighbor => !isSource(neighbor));
	return [...neighbors.filter(isSource).slice(0, SHOWN), ...users.slice(0, SHOWN)];
}

/** @param {Route} route @param {Neighbor["run"]} run @param {AbortSignal} signal @returns {Promise<Neighbor>} */
async function neighborOf(route, run, signal) {
	const direction = run.direction === "output" ? "input" : "output";
	const path = `${runPath(route, run.run_uuid)}artifacts/`;
	try {
		return {run, links: await get(path, {direction, limit: LINKS + 1}, signal)};
	} catch (error) {
		if (/** @type {any} */ (error).status !== 404) throw error;
		// It was deleted meanwhile.
		return {run, links: [], isGone: true};
	}
}

// The other side of each run is loaded again only after another run used the version.
/** @type {(route: Route, version: ArtifactVersion, isSeen: boolean, most: number) => Load<Neighbor[] | undefined>} */
const loadNeighbors = (route, version, isSeen, most) => async (before, signal) => {
	if (!isSeen) return before;
	const path = `${artifactPath(route, version.artifact, "versions", version.version)}runs/`;
	/** @type {ArtifactRun[]} */
	const runs = await get(path, {limit: RUNS + 1}, signal);
	if (before && JSON.stringify(before.map(({run}) => run)) === JSON.stringify(runs)) return before;
	const asked = shownRuns(runs.map(run => ({run}))).slice(0, most);
	return Promise.all(runs.map(run => (asked.some(one => one.run === run) ? neighborOf(route, run, signal) : {run})));
};

/** @param {Route} route @param {ArtifactVersion} version @param {Neighbor[]} neighbors @returns {Graph} */
function graphOf(route, version, neighbors) {
	const stages = STAGES.map(() => /** @type {Graph["stages"][number]} */ (new Map()));
	/** @type {Graph["edges"]} */
	const edges = [];
	stages[VERSION].set("", {name: `${version.artifact}:${version.version}`});
	for (const {run, links = [], isGone} of neighbors) {
		const isSource = run.direction === "output";
		const {run_uuid: uuid, run_name: name} = run;
		stages[isSource ? PRODUCERS : CONSUMERS].set(uuid, {name, to: isGone ? undefined : runPath(route, uuid)});
		edges.push(isSource ? [PRODUCERS, uuid, ""] : [VERSION, "", uuid]);
		for (const link of links) {
			const key = `${link.artifact}:${link.version}`;
			stages[isSource ? SOURCES : RESULTS].set(key, {name: key, to: artifactPath(route, link.artifact, link.version)});
			edges.push(isSource ? [SOURCES, key, uuid] : [CONSUMERS, uuid, key]);
		}
	}
	return {stages, edges};
}

/** @param {Graph["stages"][number]} nodes */
const heightOf = nodes => Math.min(nodes.size, SHOWN + 1);

// Between two stages, in heights of a node. It is stretched to what is between them.
/** @param {Graph} graph @param {number} index @param {number} height */
function edgesAfter({stages, edges}, index, height) {
	/** @param {Graph["stages"][number]} nodes @param {string} key */
	const middleOf = (nodes, key) =>
		(height - heightOf(nodes)) / 2 + Math.min([...nodes.keys()].indexOf(key), SHOWN) + 0.5;
	const lines = edges
		.filter(([stage]) => stage === index)
		.map(([, from, to]) => [middleOf(stages[index], from), middleOf(stages[index + 1], to)])
		.map(([from, to]) => `M0 ${from}C5 ${from} 5 ${to} 10 ${to}`);
	return html`<svg class="edges" aria-hidden="true" viewBox="0 0 10 ${height}" preserveAspectRatio="none"><path d=${[...new Set(lines)].join("")} /></svg>`;
}

/** @param {[string, GraphNode]} node */
function node([key, {name, to}]) {
	const text = cut(name);
	return html`<li key=${key}>${to ? html`<${Link} class="button" to=${to} title=${name} aria-label=${name}>${text}<//>` : html`<span class="button" title=${name}>${text}</span>`}</li>`;
}

/** @param {Graph} graph @param {boolean} isCut @param {string[]} labels */
function drawn(graph, isCut, labels = STAGES) {
	const height = Math.max(...graph.stages.map(heightOf));
	return html`<${Scroll} label="Lineage"><div class="lineage" style=${{"--nodes": height}}>${labels.map(
		(label, index) => {
			const nodes = graph.stages[index];
			const hidden = nodes.size - SHOWN;
			const isFirst = !graph.stages.slice(0, index).some(({size}) => size);
			return (
				nodes.size > 0 &&
				html`${!isFirst && edgesAfter(graph, index - 1, height)}<div class="stage"><h3>${label}</h3><ul aria-label=${label}>
				${[...nodes].slice(0, SHOWN).map(node)}
				${hidden > 0 && html`<li class="quiet">and ${hidden}${isCut && "+"} more</li>`}</ul></div>`
			);
		}
	)}</div><//>`;
}

/** @type {Component} */
export function Lineage({route, version}) {
	const place = useRef(null);
	const isSeen = useSeen(place);
	const wasSeen = useRef(false);
	wasSeen.current ||= isSeen;
	const [most, setMost] = useState(FEW);
	const load = loadNeighbors(route, version, wasSeen.current, most);
	const {value, error} = usePolled(load, [version.uuid, wasSeen.current, most]);
	const waiting = shownRuns(value ?? []).filter(({links}) => !links).length;
	const isCut = !!value && (value.length > RUNS || value.some(({links}) => links && links.length > LINKS));
	return html`<h2 ref=${place}>Lineage</h2>${error && html`<p class="problem" role="alert">${error.message}</p>`}
		${value && (value.length ? drawn(graphOf(route, version, value), isCut) : html`<p class="quiet">No run created or used it.</p>`)}
		${waiting > 0 && html`<p><button onClick=${() => setMost(2 * SHOWN)}>Load the artifacts of ${counted(waiting, "more run")}</button></p>`}`;
}

/** @typedef {{link: RunArtifact, runs: ArtifactRun[]}} LinkedVersion */

// The runs at the other side of each version. One that was deleted meanwhile has none.
/** @type {(route: Route, links: RunArtifact[], isSeen: boolean) => Load<LinkedVersion[] | undefined>} */
const loadLinked = (route, links, isSeen) => async (before, signal) => {
	if (!isSeen || before) return before;
	return Promise.all(
		links.map(async link => {
			const path = `${artifactPath(route, link.artifact, "versions", link.version)}runs/`;
			const isUsed = link.direction === "input";
			try {
				/** @type {ArtifactRun[]} */
				const runs = await get(path, {limit: LINKS}, signal);
				return {link, runs: runs.filter(({direction}) => (direction === "output") === isUsed)};
			} catch (error) {
				if (/** @type {any} */ (error).status !== 404) throw error;
				return {link, runs: []};
			}
		})
	);
};

/** @param {Route} route @param {Run} run @param {LinkedVersion[]} linked @returns {Graph} */
function graphOfRun(route, run, linked) {
	const stages = RUN_STAGES.map(() => /** @type {Graph["stages"][number]} */ (new Map()));
	/** @type {Graph["edges"]} */
	const edges = [];
	stages[VERSION].set("", {name: run.name});
	for (const {link, runs} of linked) {
		const isUsed = link.direction === "input";
		const key = `${link.artifact}:${link.version}`;
		stages[isUsed ? PRODUCERS : CONSUMERS].set(key, {name: key, to: artifactPath(route, link.artifact, link.version)});
		edges.push(isUsed ? [PRODUCERS, key, ""] : [VERSION, "", key]);
		for (const {run_uuid: uuid, run_name: name} of runs) {
			// A run can use what it created itself.
			if (uuid === run.uuid) continue;
			stages[isUsed ? SOURCES : RESULTS].set(uuid, {name, to: runPath(route, uuid)});
			edges.push(isUsed ? [SOURCES, uuid, key] : [CONSUMERS, key, uuid]);
		}
	}
	return {stages, edges};
}

/** @type {Component} */
export function RunLineage({route, run, links}) {
	const place = useRef(null);
	const isSeen = useSeen(place);
	const wasSeen = useRef(false);
	wasSeen.current ||= isSeen;
	const sides = ["input", "output"].map(side => links.filter(({direction}) => direction === side));
	const asked = sides.flatMap(side => side.slice(0, SHOWN));
	const hidden = links.length - asked.length;
	const load = loadLinked(route, asked, wasSeen.current);
	const {value, error} = usePolled(load, [links, wasSeen.current]);
	return html`<h2 ref=${place}>Lineage</h2><${Problem} error=${error} />
		${
			value
				? drawn(
						graphOfRun(route, run, value),
						value.some(({runs}) => runs.length >= LINKS - 1),
						RUN_STAGES
					)
				: !error && Loading()
		}
		${hidden > 0 && html`<p class="quiet">${counted(hidden, "more artifact")} not shown.</p>`}`;
}
