"""Renders chat templates with Jinja2, configured as `transformers` configures it, and writes what came out as hashes.

usage: render_templates.py TEMPLATES_DIR GOLDENS.json (needs PyPI's jinja2)

TEMPLATES_DIR holds `*.jinja` and the contexts `minja_ctx_*.json`. A context's `todays_date` (or else 2024-09-03) is
what `strftime_now` tells, at noon. A case that raises is kept as `{"raises": message}`.
"""

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

DEFAULT_DATE = "2024-09-03"

# Beyond the given contexts: no generation prompt, thinking switched off, text that is not ASCII.
VARIANTS = {
    "no_generation_prompt": {"base": "minja_ctx_simple", "set": {"add_generation_prompt": False}},
    "thinking_off": {"base": "minja_ctx_simple", "set": {"enable_thinking": False}},
    "unicode": {
        "base": "minja_ctx_simple",
        "set": {
            "messages": [
                {"role": "system", "content": "  Antworte auf Deutsch. \n"},
                {"role": "user", "content": "Grüße, 世界! <|im_end|> 🦅\n\n"},
                {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHallo!"},
                {"role": "user", "content": "noch einmal"},
            ]
        },
    },
}


class IgnoreGenerationTag(Extension):
    """`{% generation %}` marks what the assistant wrote; for a prompt it changes nothing."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(lineno)


def environment(now: datetime) -> ImmutableSandboxedEnvironment:
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[IgnoreGenerationTag, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = now.strftime
    return env


def golden(template: str, context: dict) -> dict:
    now = datetime.fromisoformat(context.get("todays_date", DEFAULT_DATE) + "T12:00:00")
    variables = {"tools": None, "documents": None, **context}
    try:
        text = environment(now).from_string(template).render(**variables)
    except Exception as error:  # a template may fail in any way; the test wants to know that it did
        return {"raises": str(error), "kind": type(error).__name__}
    data = text.encode()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    contexts = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("minja_ctx_*.json"))}
    goldens = {"variants": VARIANTS, "cases": {}}
    for name, variant in VARIANTS.items():
        contexts[name] = {**contexts[variant["base"]], **variant["set"]}
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_text()
        goldens["cases"][path.name] = {name: golden(template, context) for name, context in contexts.items()}
    out.write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
