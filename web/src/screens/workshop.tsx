import { Head } from "../ui";
export function Workshop(_p: { route?: unknown }) { return <Head title="Workshop" />; }
