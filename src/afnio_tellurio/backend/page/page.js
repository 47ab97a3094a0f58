// The page: which view an address shows, and what is around it.

import {Link, listQuery, useRoute} from "./address.js";
import * as backend from "./backend.js";
import {icon} from "./icons.js";
import {html, render, useState} from "./preact.js";
import {Loading, lazy, NotFound, useModule, useRuns, useView, withStyles} from "./views.js";

const {loadProject, projectPath, usePolled} = backend;

// The system's theme, until another one is chosen.
/** @returns {[string, VNode]} */
function useTheme() {
	const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
	const [theme, setTheme] = useState(localStorage.theme ?? system);
	// Charts read the colors in their effects, which run before those of the page.
	document.documentElement.dataset.theme = theme;
	const other = theme === "dark" ? "light" : "dark";
	const onClick = () => {
		localStorage.theme = other;
		setTheme(other);
	};
	const label = other === "dark" ? "Dark mode" : "Light mode";
	return [
		theme,
		html`<button class="plain" title=${label} aria-label=${label} onClick=${onClick}>${icon(theme === "dark" ? "sun" : "moon")}</button>`
	];
}

/** @type {Component} */
function ArtifactsView({route, name, onError}) {
	const {artifact, version} = route;
	const parts = useModule(
		() => withStyles(Promise.all([import("./artifacts.js"), import("./heads.js")]), "run.css", "stored.css"),
		onError
	);
	const {value: project} = usePolled(loadProject(route, !artifact), []);
	useView([artifact, version].filter(Boolean).join(":") || `Artifacts, ${name}`, onError);
	if (!parts) return Loading();
	const [{Artifacts}, {ProjectHead}] = parts;
	return html`${!artifact && html`<${ProjectHead} route=${route} name=${name} project=${project} />`}
		<${Artifacts} route=${route} onError=${onError} />`;
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
		<p>Open the link that <code>afnio-tellurio serve</code> printed up to 10 minutes ago, or enter the API key.</p>
		<p class="bar"><label>API key <input name="key" type="password" autocomplete="current-password" required /></label><button>Sign in</button></p>
		<p class="problem" role="alert">${isInvalid ? "Invalid API key." : backend.wasLinkInvalid() && "The link has expired or is invalid."}</p></form>`;
}

/** @type {Component} */
function Trail({route: {view, namespace, project, artifact, version}, name: title}) {
	/** @type {[string, unknown][]} */
	const steps = [["/", html`<img src="/assets/mark.svg" alt="" width="22" height="22" /> Tellurio`]];
	const path = (/** @type {string[]} */ ...parts) => backend.artifactPath({namespace, project}, ...parts);
	// The heading has the name of the view itself.
	if (project) steps.push([`/${backend.slug(namespace)}/`, html`<bdi>${namespace}</bdi>`]);
	if (project && (view !== "artifacts" ? view !== "project" : artifact))
		steps.push([projectPath({namespace, project}) + (view === "run" ? listQuery() : ""), html`<bdi>${title}</bdi>`]);
	if (view === "artifacts" && artifact) steps.push([path(), "Artifacts"]);
	if (view === "artifacts" && version) steps.push([path(artifact), html`<bdi>${artifact}</bdi>`]);
	return html`<nav aria-label="Path">${steps.map(([to, label], index) => html`${index > 0 && html`<span aria-hidden="true">/</span>`}<${Link} to=${to}>${label}<//>`)}</nav>`;
}

// The runs are loaded beside the code that shows them.
/** @param {Component} View @returns {Component} */
const withRuns = View => props => html`<${View} ...${props} list=${useRuns(props.route)} />`;

const VIEWS = {
	projects: lazy(
		() => import("./projects.js"),
		module => module.Projects
	),
	project: withRuns(
		lazy(
			() => import("./project.js"),
			module => module.ProjectView
		)
	),
	run: lazy(
		() => withStyles(import("./run.js"), "run.css"),
		module => module.RunView
	),
	compare: withRuns(
		lazy(
			() => withStyles(import("./compare.js"), "compare.css"),
			module => module.CompareView
		)
	),
	artifacts: ArtifactsView,
	unknown: () => html`<${NotFound} />`
};

/** @param {KeyboardEvent} event */
function onKey(event) {
	if (event.key === "Tab") import("./focus.js");
	const field = document.getElementById("filter");
	if (event.key !== "/" || !field || /^(INPUT|SELECT)$/.test(/** @type {Element} */ (event.target).tagName)) return;
	event.preventDefault();
	field.focus();
}

function Page() {
	const route = useRoute();
	const [theme, themeButton] = useTheme();
	const [error, setError] = useState(/** @type {(Error & {status?: number}) | null | undefined} */ (null));
	const isReached = backend.useConnection();
	const isSignedOut = error instanceof backend.SignedOutError;
	// The view itself shows that there is no such project, or that it cannot be loaded.
	const {value: project} = usePolled(isSignedOut ? async () => null : loadProject(route), [
		isSignedOut,
		projectPath(route)
	]);
	const known = project?.slug === route.project ? project : null;
	const name = known?.display_name ?? route.project;
	const View = VIEWS[route.view];
	const onSignOut = async () => {
		await backend.signOut();
		setError(new backend.SignedOutError());
	};
	const isShown = error && !isSignedOut && error.status !== 404 && !(error instanceof backend.UnreachableError);
	return html`<a class="skip" href="#main">Skip to content</a>
		<header><${Trail} route=${route} name=${name} /><span class="bar">${themeButton}
			${localStorage.session && html`<button onClick=${onSignOut}>Sign out</button>`}</span></header>
		<div class="banner" role="alert">${isReached ? isShown && error.message : html`Can't reach the server. Is <code>afnio-tellurio serve</code> still running?`}</div>
		<main id="main">${isSignedOut ? html`<${SignIn} onDone=${() => setError(null)} />` : html`<${View} key=${location.pathname} route=${route} name=${name} theme=${theme} onError=${setError} />`}</main>`;
}

addEventListener("keydown", onKey);
addEventListener("toggle", () => void import("./menus.js"), true);
render(html`<${Page} />`, document.body);
