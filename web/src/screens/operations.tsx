import { Head } from "../ui";
export function Operations(_p: { route?: unknown }) { return <Head title="Operations" />; }
