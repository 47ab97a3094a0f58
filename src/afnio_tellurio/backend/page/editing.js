// The form that changes a run, and moves it to the trash and back.

import {runPath, send} from "./backend.js";
import {html, useState} from "./preact.js";
import {Problem} from "./views.js";

/** @param {string} text */
export const tagsIn = text => [...new Set(text.split(",").map(tag => tag.trim()))].filter(Boolean);

// Only what the form changes: a program may change the rest meanwhile.
/** @param {Run} run @param {FormData} form */
function changesTo(run, form) {
	const text = (/** @type {string} */ name) => String(form.get(name) ?? "").replaceAll("\r\n", "\n");
	/** @type {Record<string, unknown>} */
	const changes = {};
	if (text("name") !== run.name) changes.name = text("name");
	if (text("notes") !== (run.notes ?? "")) changes.notes = text("notes") || null;
	const [before, after] = [run.tags ?? [], tagsIn(text("tags"))];
	const [added, removed] = [after.filter(tag => !before.includes(tag)), before.filter(tag => !after.includes(tag))];
	if (added.length) changes.add_tags = added;
	if (removed.length) changes.remove_tags = removed;
	return changes;
}

/** @type {Component} */
export function RunEditor({route, run}) {
	// What the fields started with, while the form is open.
	const [opened, setOpened] = useState(/** @type {Run | null} */ (null));
	const [isDeleted, setDeleted] = useState(false);
	const [error, setError] = useState(/** @type {Error | null} */ (null));
	const path = runPath(route, run.uuid);
	/** @param {Promise<unknown>} request @param {() => void} onDone */
	const report = (request, onDone) =>
		request.then(() => {
			setError(null);
			onDone();
		}, setError);
	/** @param {SubmitEvent} event */
	const onSubmit = event => {
		event.preventDefault();
		const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
		const changes = changesTo(opened ?? run, form);
		if (!Object.keys(changes).length) return setOpened(null);
		return report(send("PATCH", path, changes), () => setOpened(null));
	};
	const onDelete = () => report(send("DELETE", path), () => setDeleted(true));
	const onRestore = () => report(send("POST", `${path}restore/`), () => setDeleted(false));
	if (isDeleted)
		return html`<p class="notice" role="status">This run is in the trash, and is deleted for good after 30 days.
			<button onClick=${onRestore}>Restore</button></p><${Problem} error=${error} />`;
	if (!opened)
		return html`<div class="bar"><button onClick=${() => setOpened(run)}>Edit</button><button onClick=${onDelete}>Delete</button></div><${Problem} error=${error} />`;
	return html`<form class="card" onSubmit=${onSubmit}>
		<label>Name <input name="name" defaultValue=${opened.name} required maxlength="255" /></label>
		<label>Tags <input name="tags" defaultValue=${(opened.tags ?? []).join(", ")} placeholder="Separated by commas" /></label>
		<label>Notes <textarea name="notes" rows="4" defaultValue=${opened.notes ?? ""}></textarea></label>
		<${Problem} error=${error} />
		<div class="bar"><button>Save</button><button type="button" onClick=${() => setOpened(null)}>Cancel</button></div>
	</form>`;
}
