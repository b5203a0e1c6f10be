package console

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

// dist is what `npm run build` in web/ makes of the page. Without npm it has only a note.
//
//go:embed all:dist
var dist embed.FS

// Built tells whether the page is in this binary.
func Built() bool {
	_, err := dist.Open("dist/index.html")
	return err == nil
}

func page() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // it is embedded
	}
	if !Built() {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(unbuilt))
		})
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this is a page", http.StatusMethodNotAllowed)
			return
		case strings.HasPrefix(r.URL.Path, "/assets/"): // their names change with their content
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		default:
			w.Header().Set("Cache-Control", "no-cache")
		}
		server.ServeHTTP(w, r)
	})
}

const unbuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Matchyard</title>
<h1>Matchyard</h1>
<p>The console is not in this binary: it was built without npm. With Node.js 20 or newer, <code>make build</code> puts it in.
What it would show is under <a href="/api/overview">/api/overview</a> and its neighbours.</p>
<ul>
<li><a href="/readyz">readyz</a>, <a href="/livez">livez</a>
<li><a href="/metrics">metrics</a>
<li><a href="/version">version</a>
<li><a href="/events">events</a>, <a href="/events/dead">those given up</a>
<li><a href="/debug/pprof/">profiles</a>
</ul>
</html>
`
