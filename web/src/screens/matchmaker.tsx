import { Head } from "../ui";
export function Matchmaker(_p: { route?: unknown }) { return <Head title="Matchmaker" />; }
export function Matchmakers(_p: { route?: unknown }) { return <Head title="Matchmakers" />; }
export function Ticket(_p: { route?: unknown }) { return <Head title="Ticket" />; }
