// The files of a run, and the artifacts that it used and created.

import {Link} from "./address.js";
import {artifactPath, getAll, runPath, unlessSame, usePolled} from "./backend.js";
import {counted} from "./format.js";
import {html} from "./preact.js";
import {bytes, FileItem} from "./previews.js";
import {Loading, lazy, Problem} from "./views.js";

const Lineage = lazy(
	() => import("./lineage.js"),
	module => module.RunLineage
);

const FILES = 1000;

// Files are listed again only while the run can log more.
/** @type {(route: Route, run: Run) => Load<RunFile[]>} */
export const loadFiles = (route, run) => async (before, signal) => {
	if (before && run.status !== "RUNNING") return before;
	return unlessSame(before, await getAll(`${runPath(route, run.uuid)}files/`, {limit: 10_000}, signal));
};

/** @type {(route: Route, run: Run) => Load<RunArtifact[]>} */
const loadLinks = (route, run) => async (before, signal) => {
	if (before && run.status !== "RUNNING") return before;
	return unlessSame(before, await getAll(`${runPath(route, run.uuid)}artifacts/`, {limit: 1000}, signal));
};

/** @type {(route: Route, run: Run, file: RunFile) => Source} */
export const sourceOf = (route, run, {path, step}) => [`${runPath(route, run.uuid)}file/`, {path, step}];

/** @type {Component} */
function Artifacts({route, links}) {
	/** @type {(label: string, direction: string) => unknown} */
	const list = (label, direction) => {
		const chosen = links.filter(link => link.direction === direction);
		return (
			chosen.length > 0 &&
			html`<h3>${label}</h3><ul class="files">${chosen.map(
				({artifact, version, type, size}) =>
					html`<li><${Link} to=${artifactPath(route, artifact, version)}><bdi>${artifact}:${version}</bdi><//> <small><bdi>${type}</bdi> · ${bytes(size)}</small></li>`
			)}</ul>`
		);
	};
	return html`<h2>Artifacts</h2>${list("Inputs", "input")}${list("Outputs", "output")}`;
}

/** @type {Component} */
export function RunStore({route, run, onError}) {
	const files = usePolled(loadFiles(route, run), [run.status]);
	const links = usePolled(loadLinks(route, run), [run.status]);
	const single = (files.value ?? []).filter(({step}) => step == null);
	const hidden = single.length - FILES;
	const isEmpty = files.value && links.value && !single.length && !links.value.length;
	const error = files.error ?? links.error;
	return html`<${Problem} error=${error} />
		${!error && !(files.value && links.value) && Loading()}
		${isEmpty && html`<div class="empty"><p>No files and no artifacts yet. Log the first ones:</p><pre tabindex="0">run.log_file("report.pdf")\nrun.log_artifact("model.pt", "model")</pre></div>`}
		${!!links.value?.length && html`<${Artifacts} route=${route} links=${links.value} />`}
		${!!links.value?.length && html`<${Lineage} route=${route} run=${run} links=${links.value} onError=${onError} />`}
		${single.length > 0 && html`<h2>Files</h2><ul class="files">${single.slice(0, FILES).map(file => html`<${FileItem} key=${file.path} file=${file} source=${sourceOf(route, run, file)} />`)}</ul>`}
		${hidden > 0 && html`<p class="quiet">${counted(hidden, "more file")} not shown.</p>`}`;
}
