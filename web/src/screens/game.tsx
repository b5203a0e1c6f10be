import { Head } from "../ui";
export function Game(_p: { route?: unknown }) { return <Head title="Game" />; }
