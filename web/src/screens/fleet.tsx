import { Head } from "../ui";
export function Fleet(_p: { route?: unknown }) { return <Head title="Fleet" />; }
export function Fleets(_p: { route?: unknown }) { return <Head title="Fleets" />; }
