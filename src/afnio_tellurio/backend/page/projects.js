// The list of projects, with what their runs do.

import {Link} from "./address.js";
import {loadProjects, projectPath, usePolled} from "./backend.js";
import {counted, Head, number, Scroll, Time} from "./format.js";
import {FirstRun} from "./heads.js";
import {html} from "./preact.js";
import {NotFound, useView, waiting} from "./views.js";

const BAR = 4;
const HEIGHT = 20;

// A bar for each day. One run is visible beside a thousand.
/** @type {(props: {days: number[]}) => VNode | string} */
function Sparkline({days}) {
	const total = days.reduce((sum, count) => sum + count, 0);
	if (!total) return "";
	const most = Math.max(...days);
	const bars = days.map((count, day) => {
		const height = count && Math.max(2, (HEIGHT * count) / most);
		return count ? `M${day * BAR} ${HEIGHT}v${-height}h${BAR - 1}v${height}z` : "";
	});
	const label = `${counted(total, "run")} in ${days.length} days, up to ${number(most)} a day`;
	return html`<svg class="spark" role="img" aria-label=${label} viewBox="0 0 ${days.length * BAR} ${HEIGHT}">
		<title>${label}</title><path d=${bars.join("")} /></svg>`;
}

/** @type {(props: {status: string, count?: number}) => VNode | string} */
const Count = ({status, count}) =>
	count ? html`<span class="status" data-status=${status}>${number(count)}</span>` : "";

/** @type {(props: {project: Project}) => VNode} */
function ProjectRow({project}) {
	const counts = project.run_counts ?? {};
	const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
	return html`<tr>
		<th scope="row"><${Link} to=${projectPath({namespace: project.namespace, project: project.slug})} title=${project.display_name}><bdi>${project.display_name}</bdi><//></th>
		<td class="number">${number(total)}</td>
		<td class="number"><${Count} status="RUNNING" count=${counts.RUNNING} /></td>
		<td class="number"><${Count} status="CRASHED" count=${counts.CRASHED} /></td>
		<td><bdi>${project.namespace}</bdi></td>
		<td><${Sparkline} days=${project.runs_per_day ?? []} /></td>
		<td><${Time} value=${project.last_activity} /></td><td><${Time} value=${project.date_created} /></td></tr>`;
}

/** @type {Component} */
export function Projects({route: {namespace}, onError}) {
	const loaded = usePolled(loadProjects, []);
	useView(namespace || "Projects", onError, loaded);
	if (!loaded.value) return waiting(loaded);
	const {projects, namespaces} = loaded.value;
	if (namespace && !namespaces.includes(namespace)) return NotFound({message: `Namespace ${namespace} not found.`});
	const shown = projects.filter(one => !namespace || one.namespace === namespace);
	if (!shown.length) return html`<${FirstRun} namespace=${namespace || namespaces[0]} />`;
	return html`<h1>${namespace ? html`<bdi>${namespace}</bdi>` : "Projects"}</h1><${Scroll} label="Projects"><table class="projects">
		<thead><tr>${Head("Project")}
			${["Runs", "Running", "Crashed"].map(title => html`<th scope="col" class="number">${title}</th>`)}
			${["Namespace", "Last 30 days", "Last activity", "Created"].map(Head)}</tr></thead>
		<tbody>${shown.map(project => html`<${ProjectRow} key=${project.uuid} project=${project} />`)}</tbody>
	</table><//>`;
}
