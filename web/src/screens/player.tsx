import { Head } from "../ui";
export function Player(_p: { route?: unknown }) { return <Head title="Player" />; }
