// The form that changes a run.

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
export function RunEditor({route, run, onDone}) {
	// What the fields started with.
	const [opened] = useState(run);
	const [error, setError] = useState(/** @type {Error | null} */ (null));
	/** @param {SubmitEvent} event */
	const onSubmit = event => {
		event.preventDefault();
		const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
		const changes = changesTo(opened, form);
		if (!Object.keys(changes).length) return onDone();
		return send("PATCH", runPath(route, run.uuid), changes).then(onDone, setError);
	};
	return html`<form class="card" onSubmit=${onSubmit}>
		<label>Name <input name="name" defaultValue=${opened.name} required maxlength="255" /></label>
		<label>Tags <input name="tags" defaultValue=${(opened.tags ?? []).join(", ")} placeholder="Separated by commas" /></label>
		<label>Notes <textarea name="notes" rows="4" defaultValue=${opened.notes ?? ""}></textarea></label>
		<${Problem} error=${error} />
		<div class="bar"><button>Save</button><button type="button" onClick=${onDone}>Cancel</button></div>
	</form>`;
}
