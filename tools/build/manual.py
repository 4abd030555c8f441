#!/usr/bin/python3
"""The manual page and the completion of a shell, made from what the command says of itself.

    manual.py PROGRAM VERSION MANUAL.1 COMPLETION
"""
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TEXT_COLUMN = 30     # where the help goes on with what something means
ENTRY = re.compile(r"  (?P<names>[-\w,]+)(?:\{\w+\})?"
                   r"(?: (?P<value>[A-Z][^\s:=]*(?:=VALUE)?)(?::\w+)?(?:=(?P<preset>\S+))?(?: in \[(?P<range>.*?)\])?)?"
                   r"(?P<marks>(?: REQUIRED| \.\.\.| Excludes: \S+)*)(?: +(?P<meaning>\S.*))?")
EXAMPLE = "tools/examples/"
FILES = (("config.toml", "the resolved configuration: running it again gives the same bytes"),
         ("free_energy.csv, conditional.csv, closure.csv", "free energy, averages and the reduced model"),
         ("samples.h5", "the stored samples"), ("generator.safetensors", "the trained generator"),
         ("metrics.json", "every figure of the run"), ("report.html", "one page with all pictures"),
         ("checkpoint.h5, run.log, status.json", "where it stands, for --resume and microlift status"))


@dataclass
class Entry:
    """An option, an argument or a command."""
    names: list
    value: str
    meaning: str


@dataclass
class Help:
    """The help of the program or of one of its commands."""
    about: str
    usage: str
    entries: dict = field(default_factory=dict)   # section: [Entry]
    footer: str = ""


def entry(line):
    found = ENTRY.fullmatch(line)
    assert found, f"the help has a line of another form: {line}"
    value = "" if found["value"] == "TEXT" else found["value"] or ""
    notes = [f"by default {found['preset']}"] if found["preset"] else []
    notes += [f"from {found['range'].replace(' - ', ' to ')}"] if found["range"] else []
    notes += ["required"] if "REQUIRED" in found["marks"] and value else []
    return Entry(found["names"].split(","), value, (found["meaning"] or "") + f" [{', '.join(notes)}]" * bool(notes))


def read(program, *command):
    text = subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True).stdout
    about, _, rest = text.partition("Usage: ")
    usage, _, rest = rest.partition("\n")
    found, section = Help(" ".join(about.split()), usage), None
    for line in rest.splitlines():
        if re.fullmatch(r"\w+:", line):
            section = found.entries.setdefault(line[:-1], [])
        elif section is not None and line.startswith(" " * TEXT_COLUMN):
            before, note, after = section[-1].meaning.partition(" [")
            section[-1].meaning = f"{before} {line.strip()}{note}{after}".strip()
        elif section is not None and line.startswith("  "):
            section.append(entry(line))
        elif line:
            section = None
            found.footer += line + "\n"
    return found


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def listed(entries):
    """(names, value, meaning) each with a paragraph."""
    lines = []
    for names, value, meaning in entries:
        lines += [".TP", ", ".join(rf"\fB{roff(n)}\fR" for n in names) + (rf" \fI{roff(value)}\fR" if value else ""),
                  roff(meaning)]
    return lines


def manual(whole, commands, version):
    lines = [f'.TH MICROLIFT 1 "" "microlift {version}" "User commands"', ".SH NAME",
             r"microlift \- biased ensembles, free energies, conditional generators and closures of stochastic systems",
             ".SH SYNOPSIS"]
    for name, of in commands.items():
        lines += [rf"\fBmicrolift {name}\fR {roff(of.usage.split(' ', 2)[2])}", ".br"]
    lines += [".SH DESCRIPTION", roff(whole.about), ".SH COMMANDS"]
    for name, of in commands.items():
        lines += [f".SS microlift {name}", roff(of.about)]
        for section, entries in of.entries.items():
            lines += listed((e.names, e.value, e.meaning) for e in entries if "--help" not in e.names)
    status = whole.footer.partition("Exit status: ")[2]
    lines += [".SH FILES", "Of a run in its directory:"] + listed(([name], "", meaning) for name, meaning in FILES)
    lines += [".SH EXIT STATUS"]
    for part in re.split(r";\s+(?=\d)", " ".join(status.split()).rstrip(".")):
        number, _, meaning = part.partition(" ")
        lines += [".TP", roff(number), roff(meaning)]
    lines += [".SH EXAMPLE", ".nf", roff(whole.footer.partition("Start with:")[2].partition("\n")[0].strip())
              .replace(roff(EXAMPLE), roff("/usr/share/microlift/" + EXAMPLE)), ".fi"]
    return "\n".join(lines) + "\n"


COMPLETION = r"""# bash completion of microlift; written from the command's own help.
_microlift() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '@COMMANDS@ --help --version' -- "$word")
        return
    fi
    case $before in
        --device) mapfile -t COMPREPLY < <(compgen -W 'auto cpu cuda' -- "$word"); return ;;
        --math) mapfile -t COMPREPLY < <(compgen -W 'fast portable' -- "$word"); return ;;
        --set)
            mapfile -t COMPREPLY < <(compgen -S = -W "$("${COMP_WORDS[0]}" check --keys 2>/dev/null |
                sed -n 's/^| `\([a-z_.]*\)`.*/\1/p')" -- "$word")
            compopt -o nospace
            return ;;
        -o | --out | --states | --json | --compare | --with)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        @VALUES@) return ;;
    esac
    case $command in
@CASES@
        *) options=--help ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [[ $command == systems ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" systems 2>/dev/null | sed -n 's/^\([a-z]\w*\) .*/\1/p')" -- "$word")
    elif [[ $command == help || $command == info || $command == bench ]]; then
        :
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _microlift microlift
"""


def completion(commands):
    cases, values = [], set()
    for name, of in commands.items():
        options = of.entries["Options"]
        cases.append(f"        {name}) options='{' '.join(n for o in options for n in o.names if n.startswith('--'))}' ;;")
        values |= {n for o in options if o.value for n in o.names}
    values -= {"--device", "--math", "--set", "-o", "--out", "--states", "--json", "--compare", "--with"}
    return (COMPLETION.replace("@COMMANDS@", " ".join(commands)).replace("@CASES@", "\n".join(cases))
            .replace("@VALUES@", " | ".join(sorted(values))))


def main(program, version, page, shell):
    whole = read(program)
    commands = {e.names[0]: read(program, e.names[0]) for e in whole.entries["Subcommands"]}
    for file, text in ((page, manual(whole, commands, version)), (shell, completion(commands))):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
