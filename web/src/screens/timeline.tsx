import { Head } from "../ui";
export function Timeline(_p: { route?: unknown }) { return <Head title="Timeline" />; }
