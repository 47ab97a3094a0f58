// The config of a run, and where it ran.

import {fieldsIn} from "./details.js";
import {Fields, FieldTable} from "./fields.js";
import {counted} from "./format.js";
import {html} from "./preact.js";
import {isObject} from "./values.js";

/** @type {Component} */
export function RunConfig({run}) {
	const config = run.config ?? {};
	const described = fieldsIn(run.description);
	const {packages, ...environment} = run.environment ?? {};
	const listed = isObject(packages) ? packages : {};
	return html`${
		Object.keys(config).length
			? html`<${FieldTable} label="Config" fields=${config} />`
			: html`<p class="quiet">No config. <code>te.init(..., config={"lr": 0.1})</code> records one.</p>`
	}
		${described && html`<h2>Description</h2><${FieldTable} label="Description" fields=${described} />`}
		<${Fields} label="Environment" fields=${environment} />
		<${Fields} label=${counted(Object.keys(listed).length, "package")} fields=${listed} />`;
}
