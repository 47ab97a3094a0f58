// The tools of the table that change all selected runs.

import {Link, queryWith} from "./address.js";
import {changesNow, running, runPath, send} from "./backend.js";
import {tagsIn} from "./editing.js";
import {counted} from "./format.js";
import {Pick, PickAll, useMany} from "./many.js";
import {html, useRef, useState} from "./preact.js";

export {Pick, PickAll};

/** @type {(props: {route: Route, found: Run[], picked: Set<string>, setPicked: (change: (held: Set<string>) => Set<string>) => void, setGone: (change: (held: Map<string, number>) => Map<string, number>) => void}) => VNode} */
export function BulkTools({route, found, picked, setPicked, setGone}) {
	const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
	const [text, setText] = useState("");
	const {isBusy, start} = useMany(setPicked);
	// What a filter hides is not changed.
	const chosen = found.filter(({uuid}) => picked.has(uuid));
	const tags = tagsIn(text);
	const known = [...new Set(found.flatMap(run => run.tags ?? []))].sort();
	/** @param {"add_tags" | "remove_tags"} field @param {string} did */
	const tag = (field, did) => start(chosen, did, ({uuid}) => send("PATCH", runPath(route, uuid), {[field]: tags}));
	const remove = () => {
		dialog.current?.close();
		/** @param {ManyItem} run */
		const request = async ({uuid}) => {
			await send("DELETE", runPath(route, uuid));
			setGone(held => new Map([...held, [uuid, changesNow()]]));
		};
		return start(chosen, "moved to the trash", request, restore);
	};
	const restore = (/** @type {ManyItem[]} */ items) =>
		start(items, "restored", async ({uuid}) => {
			await send("POST", `${runPath(route, uuid)}restore/`);
			setGone(held => new Map([...held].filter(([other]) => other !== uuid)));
		});
	const live = running(chosen).length;
	const count = counted(chosen.length, "run");
	const isIdle = !chosen.length || isBusy;
	return html`<div class="bar bulk" role="group" aria-label="Change runs"><strong>${count} selected</strong>
		<input aria-label="Tags, separated by commas" placeholder="Tag" list="known-tags" value=${text} onInput=${(/** @type {FieldEvent} */ {target}) => setText(target.value)} />
		<datalist id="known-tags">${known.map(name => html`<option value=${name} />`)}</datalist>
		<button disabled=${isIdle || !tags.length} onClick=${() => tag("add_tags", "tagged")}>Add tag</button>
		<button disabled=${isIdle || !tags.length} onClick=${() => tag("remove_tags", "without the tag")}>Remove tag</button>
		<button disabled=${isIdle} onClick=${() => dialog.current?.showModal()}>Delete…</button>
		<${Link} class="button" to=${queryWith({tab: "trash", page: ""})}>Trash<//>
		<dialog ref=${dialog} aria-labelledby="delete-title"><h2 id="delete-title">Delete ${count}?</h2>
			<p>${live > 0 && `${live} of them ${live === 1 ? "is" : "are"} still running. `}What is deleted stays in the trash for 30 days, and can be restored until then.</p>
			<div class="bar"><button class="danger" onClick=${remove}>Delete ${count}</button><button onClick=${() => dialog.current?.close()}>Cancel</button></div></dialog>
	</div>`;
}
