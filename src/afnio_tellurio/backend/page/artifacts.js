// The artifacts of a project: a list by type, the versions of one, and the files and the lineage of a version.

import {Link, option, optionSetter} from "./address.js";
import {artifactPath, get, getAll, runPath, unlessSame, usePolled} from "./backend.js";
import {Fields} from "./fields.js";
import {Head, number, Scroll, Time} from "./format.js";
import {Lineage} from "./lineage.js";
import {html, useEffect, useState} from "./preact.js";
import {bytes, FileItem, isPlainText, useParts} from "./previews.js";
import {waiting} from "./views.js";

const VERSIONS = 200;
const FILES = 1000;
// Files that are listed without a field to search them.
const FEW = 20;

/** @type {Component} */
const VersionLink = ({route, name, value}) =>
	html`<${Link} to=${artifactPath(route, name, /** @type {string} */ (value))}><bdi>${name}:${value}</bdi><//>`;

/** @type {Component} */
const Aliases = ({names}) => html`${names.map(alias => html`<bdi class="tag">${alias}</bdi> `)}`;

/** @type {(route: Route) => Load<Artifact[]>} */
const loadArtifacts = route => async (before, signal) =>
	unlessSame(before, await getAll(artifactPath(route), {limit: 1000}, signal));

/** @type {Component} */
function ArtifactList({route, onError}) {
	const {value, error} = usePolled(loadArtifacts(route), []);
	useEffect(() => onError(error), [error]);
	if (!value) return waiting({error});
	if (!value.length)
		return html`<div class="empty"><p>No artifacts yet. Log the first one:</p><pre tabindex="0">run.log_artifact("model.pt", "model", type="model")</pre></div>`;
	const types = [...Map.groupBy(value, ({type}) => type)].sort(([a], [b]) => (a < b ? -1 : 1));
	return html`${types.map(
		([
			type,
			artifacts
		]) => html`<section key=${type}><h2><bdi>${type}</bdi></h2><${Scroll} label="Artifacts of type ${type}"><table>
			<thead><tr>${["Name", "Latest", "Versions", "Size", "Created", "Updated"].map(Head)}</tr></thead>
			<tbody>${artifacts.map(
				({name, latest, version_count, size, date_created, date_updated}) => html`<tr key=${name}>
				<th scope="row"><${Link} to=${artifactPath(route, name)}><bdi>${name}</bdi><//></th>
				<td>${latest && html`<${VersionLink} route=${route} name=${name} value=${latest} />`}</td>
				<td>${number(version_count)}</td><td>${bytes(size)}</td><td><${Time} value=${date_created} /></td><td><${Time} value=${date_updated} /></td></tr>`
			)}</tbody></table><//></section>`
	)}`;
}

/** @type {(route: Route) => Load<ArtifactVersion[]>} */
const loadVersions = route => async (before, signal) =>
	unlessSame(before, await get(`${artifactPath(route, route.artifact)}versions/`, {limit: VERSIONS + 1}, signal));

// The names of runs, which the versions do not have. A name changes rarely.
/** @type {Map<string, Promise<string>>} */
const runNames = new Map();

/** @param {Route} route @param {string} uuid */
function nameOfRun(route, uuid) {
	const path = runPath(route, uuid);
	const known = runNames.get(path);
	if (known) return known;
	const asked = get(path, {}, new AbortController().signal).then(run => run.name);
	// It is asked for again by the next view.
	asked.catch(() => runNames.delete(path));
	runNames.set(path, asked);
	return asked;
}

/** @type {Component} */
function Producer({route, value}) {
	const uuid = /** @type {string | null | undefined} */ (value);
	const [name, setName] = useState("");
	useEffect(() => {
		// Without a name, the UUID is shown: the run can be deleted meanwhile.
		if (uuid) nameOfRun(route, uuid).then(setName, () => setName(""));
	}, [uuid]);
	return uuid ? html`<${Link} to=${runPath(route, uuid)}><bdi>${name || uuid}</bdi><//>` : "";
}

/** @type {Component} */
function VersionList({route, onError}) {
	const {value, error} = usePolled(loadVersions(route), []);
	useEffect(() => onError(error), [error]);
	if (!value) return waiting({error});
	return html`<h1><bdi>${route.artifact}</bdi></h1>
		<p class="quiet">Type <bdi>${value[0]?.type ?? ""}</bdi></p>
		<${Scroll} label="Versions"><table>
		<thead><tr>${["Version", "Aliases", "Size", "Files", "Created", "Created by"].map(Head)}</tr></thead>
		<tbody>${value.slice(0, VERSIONS).map(
			({version, aliases, size, file_count, date_created, run_uuid}) => html`<tr key=${version}>
			<th scope="row"><${Link} to=${artifactPath(route, route.artifact, version)}><bdi>${version}</bdi><//></th>
			<td><${Aliases} names=${aliases} /></td><td>${bytes(size)}</td><td>${number(file_count)}</td><td><${Time} value=${date_created} /></td>
			<td><${Producer} route=${route} value=${run_uuid} /></td></tr>`
		)}</tbody></table><//>
		${value.length > VERSIONS && html`<p>Only the newest ${VERSIONS} versions are shown.</p>`}`;
}

/** @type {(route: Route) => Load<ArtifactVersion>} */
const loadVersion = route => async (before, signal) =>
	unlessSame(
		before,
		await get(`${artifactPath(route, route.artifact)}versions/${encodeURIComponent(route.version)}/`, {}, signal)
	);

/** @param {Route} route @param {ArtifactVersion} version */
const pathOf = (route, {artifact, version}) =>
	`${artifactPath(route, artifact)}versions/${encodeURIComponent(version)}/`;

// The files of a version never change.
/** @type {(route: Route, version: ArtifactVersion, prefix: string) => Load<StoredFile[]>} */
const loadFiles = (route, version, prefix) => async (before, signal) =>
	before ?? get(`${pathOf(route, version)}files/`, {prefix: prefix || undefined, limit: FILES + 1}, signal);

/** @type {Component} */
function Changes({route, version, file}) {
	const [parts, state] = useParts(() => import("./differences.js"));
	return parts ? html`<${parts.Comparison} route=${route} version=${version} file=${file} />` : state;
}

/** @type {Component} */
function Files({route, version}) {
	const prefix = option("prefix");
	const {value, error} = usePolled(loadFiles(route, version, prefix), [version.uuid, prefix]);
	return html`<h2>Files</h2>
		${version.file_count > FEW && html`<div class="bar" role="search"><input type="search" placeholder="Path starts with" aria-label="Path starts with" value=${prefix} onInput=${optionSetter("prefix")} /></div>`}
		${error && html`<p class="problem" role="alert">${error.message}</p>`}
		<ul class="files">${value?.slice(0, FILES).map(
			file => html`<${FileItem} key=${file.path} file=${file} source=${[`${pathOf(route, version)}file/`, {path: file.path}]}>
			${isPlainText(file) && !file.reference && html`<${Changes} route=${route} version=${version} file=${file} />`}<//>`
		)}</ul>
		${value && value.length > FILES && html`<p>Only the first ${number(FILES)} files are shown.</p>`}`;
}

/** @type {Component} */
function VersionDetails({route, onError}) {
	const {value: version, error} = usePolled(loadVersion(route), []);
	useEffect(() => onError(error), [error]);
	if (!version) return waiting({error});
	const facts = [
		["Type", html`<bdi>${version.type}</bdi>`],
		["Aliases", version.aliases.length > 0 && html`<${Aliases} names=${version.aliases} />`],
		["Size", bytes(version.size)],
		["Files", number(version.file_count)],
		["Created", html`<${Time} value=${version.date_created} />`],
		["Digest", version.digest]
	].filter(([, fact]) => fact);
	return html`<h1><bdi>${version.artifact}:${version.version}</bdi></h1>
		${version.description && html`<p class="text"><bdi>${version.description}</bdi></p>`}
		<dl class="facts">${facts.map(([label, fact]) => html`<div><dt>${label}</dt><dd>${fact}</dd></div>`)}</dl>
		<${Fields} label="Metadata" fields=${version.metadata ?? {}} isOpen=${true} />
		<${Lineage} key=${version.uuid} route=${route} version=${version} />
		<${Files} key=${version.version} route=${route} version=${version} />`;
}

/** @type {Component} */
export function Artifacts({route, onError}) {
	const Shown = route.version ? VersionDetails : route.artifact ? VersionList : ArtifactList;
	return html`<${Shown} route=${route} onError=${onError} />`;
}
