// The page: which view an address shows, and what is around it.

import {Link, useRoute} from "./address.js";
import * as backend from "./backend.js";
import {Head, Scroll, Time} from "./format.js";
import {icon} from "./icons.js";
import {html, render, useLayoutEffect, useState} from "./preact.js";
import {Loading, NotFound, useModule, useView, waiting} from "./views.js";

const {projectPath, usePolled} = backend;

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
	const label = other === "dark" ? "Dark mode" : "Light mode";
	return [
		theme,
		html`<button class="plain" title=${label} aria-label=${label} onClick=${onClick}>${icon(theme === "dark" ? "sun" : "moon")}</button>`
	];
}

// A view whose code is loaded when it is shown.
/** @template T @param {() => Promise<T>} load @param {(module: T) => Component} view @returns {Component} */
const lazy = (load, view) => props => {
	const module = useModule(load, props.onError);
	return module ? html`<${view(module)} ...${props} />` : Loading();
};

/** @type {Component} */
function Projects({route: {namespace}, onError}) {
	const loaded = usePolled(backend.loadProjects, []);
	const project = useModule(() => import("./heads.js"), onError);
	useView(namespace || "Projects", onError, loaded);
	if (!loaded.value || !project) return waiting(loaded);
	const {projects, namespaces} = loaded.value;
	if (namespace && !namespaces.includes(namespace)) return NotFound({message: `Namespace ${namespace} not found.`});
	const shown = projects.filter(one => !namespace || one.namespace === namespace);
	if (!shown.length) return html`<${project.FirstRun} namespace=${namespace || namespaces[0]} />`;
	return html`<h1>${namespace ? html`<bdi>${namespace}</bdi>` : "Projects"}</h1><${Scroll} label="Projects"><table>
		<thead><tr>${["Project", "Namespace", "Last run", "Created"].map(Head)}</tr></thead>
		<tbody>${shown.map(
			project => html`<tr key=${project.uuid}>
			<th scope="row"><${Link} to=${projectPath({namespace: project.namespace, project: project.slug})}><bdi>${project.display_name}</bdi><//></th>
			<td><bdi>${project.namespace}</bdi></td><td><${Time} value=${project.last_run_date} /></td><td><${Time} value=${project.date_created} /></td></tr>`
		)}</tbody>
	</table><//>`;
}

/** @type {Component} */
function ArtifactsView({route, name, onError}) {
	const {artifact, version} = route;
	const parts = useModule(() => Promise.all([import("./artifacts.js"), import("./heads.js")]), onError);
	useView([artifact, version].filter(Boolean).join(":") || `Artifacts, ${name}`, onError);
	if (!parts) return Loading();
	const [{Artifacts}, {ProjectHead}] = parts;
	return html`${!artifact && html`<${ProjectHead} route=${route} name=${name} />`}
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
		<p class="problem" role="alert">${isInvalid && "Invalid API key."}</p></form>`;
}

/** @type {Component} */
function Trail({route: {view, namespace, project, artifact, version}, name: title}) {
	/** @type {[string, unknown][]} */
	const steps = [["/", html`<img src="/assets/mark.svg" alt="" width="22" height="22" /> Tellurio`]];
	const path = (/** @type {string[]} */ ...parts) => backend.artifactPath({namespace, project}, ...parts);
	// The heading has the name of the view itself.
	if (project) steps.push([`/${backend.slug(namespace)}/`, html`<bdi>${namespace}</bdi>`]);
	if (project && (view !== "artifacts" ? view !== "project" : artifact))
		steps.push([projectPath({namespace, project}), html`<bdi>${title}</bdi>`]);
	if (view === "artifacts" && artifact) steps.push([path(), "Artifacts"]);
	if (view === "artifacts" && version) steps.push([path(artifact), html`<bdi>${artifact}</bdi>`]);
	return html`<nav aria-label="Path">${steps.map(([to, label], index) => html`${index > 0 && html`<span aria-hidden="true">/</span>`}<${Link} to=${to}>${label}<//>`)}</nav>`;
}

const VIEWS = {
	projects: Projects,
	project: lazy(
		() => import("./project.js"),
		module => module.ProjectView
	),
	run: lazy(
		() => import("./run.js"),
		module => module.RunView
	),
	compare: lazy(
		() => import("./compare.js"),
		module => module.CompareView
	),
	artifacts: ArtifactsView,
	unknown: () => html`<${NotFound} />`
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
	const [error, setError] = useState(/** @type {(Error & {status?: number}) | null | undefined} */ (null));
	const isReached = backend.useConnection();
	const isSignedOut = error instanceof backend.SignedOutError;
	// The view itself shows that there is no such project, or that it cannot be loaded.
	const {value: project} = usePolled(isSignedOut ? async () => null : backend.loadProject(route), [
		isSignedOut,
		projectPath(route)
	]);
	const name = project?.slug === route.project ? project.display_name : route.project;
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
render(html`<${Page} />`, document.body);
