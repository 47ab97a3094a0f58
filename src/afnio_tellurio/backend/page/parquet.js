// The first rows of a Parquet file. A worker decodes them, and the page loads the bytes that it needs.

import {getBytes} from "./backend.js";
import {counted, number} from "./format.js";
import {html, useEffect, useState} from "./preact.js";
import {Rows} from "./previews.js";

// Without another question of the worker.
const DECODING_MS = 20_000;

/** @param {StoredFile} file @param {Source} source */
function useDecoded(file, source) {
	const [state, setState] = useState(/** @type {{decoded?: Decoded, problem?: string}} */ ({}));
	useEffect(() => {
		const controller = new AbortController();
		const worker = new Worker("/assets/decoding.js", {type: "module"});
		let timer = 0;
		const end = () => {
			clearTimeout(timer);
			controller.abort();
			worker.terminate();
		};
		/** @param {{decoded?: Decoded, problem?: string}} result */
		const finish = result => {
			end();
			setState(result);
		};
		/** @param {object} message @param {Transferable[]} [moved] */
		const answer = (message, moved = []) => {
			timer = setTimeout(() => finish({problem: "it takes too long to decode"}), DECODING_MS);
			worker.postMessage(message, moved);
		};
		/** @param {number} start @param {number} stop */
		const load = async (start, stop) => {
			const blob = await getBytes(...source, controller.signal, [start, stop]);
			if (blob.size !== stop - start) throw new Error("the server returned another part of it");
			return blob.arrayBuffer();
		};
		worker.onmessage = ({data: {range, decoded, problem}}) => {
			clearTimeout(timer);
			if (decoded || problem) finish({decoded, problem});
			else if (!range) answer({size: file.size ?? 0});
			else
				load(range[0], range[1]).then(
					data => controller.signal.aborted || answer({data}, [data]),
					error => controller.signal.aborted || finish({problem: error.message.replace(/\.$/, "")})
				);
		};
		worker.onerror = () => finish({problem: "its decoder failed"});
		return end;
	}, [file.digest]);
	return state;
}

/** @type {Component} */
export function Parquet({file, source}) {
	const {decoded, problem} = useDecoded(file, source);
	if (problem)
		return html`<p class="quiet" role="status">This file cannot be shown: ${problem}. Download it instead.</p>`;
	if (!decoded) return html`<p class="quiet">Loading…</p>`;
	const {head, rows, total, width, problems} = decoded;
	return html`<${Rows} name=${file.path} head=${head} rows=${rows} />
		<p>${rows.length < total ? `Only the first ${rows.length} of ${counted(total, "row")} are shown.` : counted(total, "row")}
			${head.length < width && ` Only the first ${head.length} of ${number(width)} columns are shown.`}</p>
		${problems.map(([name, text]) => html`<p class="quiet">The column <bdi>${name}</bdi> cannot be shown: ${text}.</p>`)}`;
}
