// The deleted runs of a project, which can be restored.

import {Link, queryWith} from "./address.js";
import {getAll, runPath, send, slug, usePolled} from "./backend.js";
import {counted, Head, number, Scroll, Time, when} from "./format.js";
import {Pick, PickAll, useMany} from "./many.js";
import {html, useState} from "./preact.js";
import {Problem, waiting} from "./views.js";

// Rows that are shown at once.
const ROWS = 500;

/** @type {(route: Route) => Load<TrashedItem[]>} */
const loadTrash =
	({namespace, project}) =>
	async (before, signal) => {
		/** @type {TrashedItem[]} */
		const items = await getAll(`/${slug(namespace)}/trash/`, {}, signal);
		const runs = items.filter(({kind, project_slug}) => kind === "run" && project_slug === project);
		return before && JSON.stringify(before) === JSON.stringify(runs) ? before : runs;
	};

/** @type {Component} */
export function Trash({route}) {
	const trash = usePolled(loadTrash(route), []);
	const [picked, setPicked] = useState(/** @type {Set<string>} */ (new Set()));
	const [restored, setRestored] = useState(/** @type {Set<string>} */ (new Set()));
	const {isBusy, start} = useMany(setPicked);
	if (!trash.value) return html`<${Problem} error=${trash.error} />${waiting(trash)}`;
	const runs = trash.value.filter(({uuid}) => !restored.has(uuid));
	const chosen = runs.filter(({uuid}) => picked.has(uuid));
	const restore = () =>
		start(chosen, "restored", async ({uuid}) => {
			await send("POST", `${runPath(route, uuid)}restore/`);
			setRestored(held => new Set([...held, uuid]));
		});
	const isIdle = !chosen.length || isBusy;
	return html`<h2>Deleted runs</h2><div class="bar bulk" role="group" aria-label="Restore runs"><strong>${counted(chosen.length, "run")} selected</strong>
			<button disabled=${isIdle} onClick=${restore}>Restore</button>
			<${Link} class="button" to=${queryWith({tab: "table"})}>Back to the table<//></div>
		${
			!runs.length
				? html`<div class="empty"><p>No deleted runs.</p></div>`
				: html`<${Scroll} label="Deleted runs"><table>
			<thead><tr><th scope="col"><${PickAll} label="Select all deleted runs" all=${runs.map(({uuid}) => uuid)} picked=${picked} setPicked=${setPicked} /></th>${["Name", "Deleted", "Kept until"].map(Head)}<th scope="col" class="number">Size</th></tr></thead>
			<tbody>${runs.slice(0, ROWS).map(
				run => html`<tr key=${run.uuid}><td><${Pick} run=${run} picked=${picked} setPicked=${setPicked} /></td>
				<th scope="row"><bdi>${run.name}</bdi></th><td><${Time} value=${run.date_deleted} /></td><td>${when(run.date_purged)}</td><td class="number">${number(Math.ceil(run.bytes / 1000))} kB</td></tr>`
			)}</tbody></table><//>${runs.length > ROWS && html`<p class="quiet">The last ${ROWS} of ${number(runs.length)} deleted runs.</p>`}`
		}`;
}
