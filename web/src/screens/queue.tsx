import { Head } from "../ui";
export function Placement(_p: { route?: unknown }) { return <Head title="Placement" />; }
export function Queue(_p: { route?: unknown }) { return <Head title="Queue" />; }
export function Queues(_p: { route?: unknown }) { return <Head title="Queues" />; }
