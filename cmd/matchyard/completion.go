package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/matchyard/matchyard/internal/cli"
)

// completionCmd prints what a shell needs to complete matchyard's commands and flags: a few
// lines that ask the program itself, so that there is one set of rules for all shells and no
// script that grows old.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Help() string {
	return `bash: source <(matchyard completion bash), in ~/.bashrc. zsh: source <(matchyard completion zsh), in ~/.zshrc behind compinit. fish: matchyard completion fish > ~/.config/fish/completions/matchyard.fish.`
}

var completionScripts = map[string]string{
	"bash": `_matchyard() {
	local IFS=$'\n' word n=0 i cut=
	local -a words
	COMPREPLY=()
	for ((i = 1; i <= COMP_CWORD; i++)); do # bash breaks words at =
		if ((n)) && [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]]; then
			words[n - 1]+=${COMP_WORDS[i]} cut=${words[n - 1]%%=*}=
		else
			words[n++]=${COMP_WORDS[i]} cut=
		fi
	done
	while read -r word; do
		word=${word%%$'\t'*}
		COMPREPLY+=("${word#"$cut"}")
	done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
}
complete -o default -F _matchyard matchyard
`,
	"zsh": `#compdef matchyard
_matchyard() {
	local -a lines
	local line
	for line in "${(@f)$("$words[1]" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -n $line ]] && lines+=("${${line//:/\\:}/$'\t'/:}")
	done
	if (( $#lines )); then _describe matchyard lines; else _files; fi
}
compdef _matchyard matchyard
`,
	"fish": `function __matchyard_complete
	matchyard complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c matchyard -f -a '(__matchyard_complete)'
complete -c matchyard -n 'not __matchyard_complete | string length -q' -F
`,
}

func (c *completionCmd) Run(out *stdout) error {
	_, err := io.WriteString(out, completionScripts[c.Shell])
	return err
}

// completeCmd is asked by those scripts: words so far, the last one unfinished.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

func (c *completeCmd) Run(parsed *cli.Context, out *stdout) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, x := range candidates(parsed.Root, words) {
		line := x.word
		if x.help != "" {
			line += "\t" + x.help
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// candidate is what the last word may become.
type candidate struct{ word, help string }

// candidates are what the last of words may become, as the words before it say: a value of
// the flag before it, a flag, a command, or an argument.
func candidates(node *cli.Node, words []string) (list []candidate) {
	if len(words) == 0 {
		words = []string{""}
	}
	last, args := words[len(words)-1], 0
	var open *cli.Value // one that waits for its value
	for _, w := range words[:len(words)-1] {
		switch {
		case open != nil:
			open = nil
		case strings.HasPrefix(w, "-"):
			if f := node.Flag(w); f != nil && !f.IsBool() && !strings.Contains(w, "=") {
				open = f
			}
		default:
			if next := node.Child(w); next != nil {
				node, args = next, 0
			} else {
				args++
			}
		}
	}
	add := func(word, help string) {
		if strings.HasPrefix(word, last) {
			help, _, _ = strings.Cut(help, "\n")
			list = append(list, candidate{word, help})
		}
	}
	switch {
	case open != nil:
		values(open, "", add)
	case strings.HasPrefix(last, "--") && strings.Contains(last, "="):
		name, _, _ := strings.Cut(last, "=")
		if f := node.Flag(name); f != nil {
			values(f, name+"=", add)
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range node.Flags() {
			if !f.Hidden {
				add("--"+f.Name, f.Help)
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				add(child.Name, child.Help)
			}
		}
		if args < len(node.Args) {
			values(node.Args[args], "", add)
		}
	}
	return list
}

// values are those of which a flag or an argument takes one.
func values(v *cli.Value, before string, add func(word, help string)) {
	for _, e := range v.Enum {
		if e != "" {
			add(before+e, "")
		}
	}
}
