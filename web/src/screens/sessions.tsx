import { Head } from "../ui";
export function Sessions(_p: { route?: unknown }) { return <Head title="Sessions" />; }
