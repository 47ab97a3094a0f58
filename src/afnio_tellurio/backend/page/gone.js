// A run that its project does not have, or no longer: it may be in the trash.

import {Link} from "./address.js";
import {pagesOf, projectPath, runPath, send, slug, usePolled} from "./backend.js";
import {when} from "./format.js";
import {html, useState} from "./preact.js";
import {Loading, NotFound, Problem} from "./views.js";

// Once, the newest first. An address has a UUID or a name.
/** @type {(route: Route, run: string) => Load<{item?: TrashedItem}>} */
const loadTrashed =
	({namespace, project}, run) =>
	async (before, signal) => {
		if (before) return before;
		for await (const page of pagesOf(`/${slug(namespace)}/trash/`, {limit: 1000}, signal)) {
			const item = page.find(
				(/** @type {TrashedItem} */ {kind, uuid, name, project_slug}) =>
					kind === "run" && project_slug === project && [uuid, name].includes(run)
			);
			if (item) return {item};
		}
		return {};
	};

/** @type {Component} */
export function Gone({route, run, message, onDone}) {
	const {value, error} = usePolled(loadTrashed(route, run?.uuid ?? route.run), []);
	const [problem, setProblem] = useState(/** @type {Error | null} */ (null));
	const [isRestored, setRestored] = useState(false);
	if (!value) return html`<${Problem} error=${error} />${error ? "" : Loading()}`;
	const {item} = value;
	if (!item) return run ? html`<p class="notice" role="status">This run no longer exists.</p>` : NotFound({message});
	// Until the next poll has the run.
	if (isRestored) return html`<p class="notice" role="status">Restored.</p>`;
	const restore = () =>
		send("POST", `${runPath(route, item.uuid)}restore/`).then(() => {
			setRestored(true);
			onDone();
		}, setProblem);
	return html`${!run && html`<h1><bdi>${item.name}</bdi></h1>`}<div class="notice bar"><span role="status">This run is in the trash. It will be deleted for good on ${when(item.date_purged)}.</span>
		<button onClick=${restore}>Restore</button><${Link} class="button" to="${projectPath(route)}?tab=trash">Open trash<//></div>
		<${Problem} error=${problem} />`;
}
