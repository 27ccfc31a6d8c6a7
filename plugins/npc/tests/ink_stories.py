"""Ink stories put together at random of what *Writing with Ink* describes, each word in them once."""

from __future__ import annotations

from itertools import count
from random import Random

BLOCKS, CHOICES, WORDS = ("lamp", "rope"), ("key", "door"), ("sun", "moon", "fog")
"""Flags that conditions ask for: each kind its own, so that no line is out of reach."""
NEVER = "zz"
"""Begins a word that the reader does not choose: all but the first of several alternatives."""


class Story:
    """Writes one story; the same seed gives the same story."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._number = count()

    def text(self) -> str:
        """The whole script: knots one after another, and blocks of alternatives that run four times."""
        flags = [f"VAR {flag} = false" for flag in (*BLOCKS, *CHOICES, *WORDS)]
        out = ["// a story", *flags, "VAR coins = 7", "TODO: more", "-> k0"]
        knots = self._random.randint(1, 3)
        for knot in range(knots):
            head = self._random.choice([f"=== k{knot} ===", f"== k{knot}", f"===k{knot}==="])
            target = f"k{knot + 1}" if knot + 1 < knots else "last"
            out += [head, *self._content(), *self._weave(1, target), f"-> {target}"]
        repeated = self._random.random() < 0.5
        out += ["=== last ===", *(["-> many -> "] * 4 if repeated else []), *self._content(), "-> END"]
        if repeated:
            out += ["=== many ===", *self._sequence(), "->->"]
        return "\n".join(out) + "\n"

    def _words(self, most: int = 3) -> str:
        return " ".join(f"w{next(self._number)}" for _ in range(self._random.randint(1, most)))

    def _piece(self) -> str:
        words, never = self._words(), f"{NEVER}{next(self._number)}"
        flag = self._random.choice(WORDS[:2])
        return self._random.choice(
            [
                words, words, words, f"\\{{{words}\\}}", f"\\#{words}", f"{words} \\| x", f"\\[{words}\\]",
                f"{{{flag}:{words}|{never}}}", f"{{not fog: {words}|{never}}}", f"{{{words}|{never}|{never}}}",
                f"{{&{words}|{never}}}", f"{{!{words}|{never}}}", f"{words} {{coins}}", f"{words} /* {never} */",
                f"{{{flag} and coins > 3: {words}|{never}}}", f"{{{words}|{{{never}|{never}}}}}", f"{words}, {{coins}}",
                f"{{coins == 7: {words}}}", f"{{sun || moon:{words}|{never}}}", f"{words}\\~", f"{words}: x",
            ]
        )  # fmt: skip

    def _line(self) -> str:
        speaker = self._random.choice(["", "", "Ada: ", "Old Ben: ", "老周："])
        start = self._words(1) if not speaker else ""
        body = " ".join(filter(None, [start, *(self._piece() for _ in range(self._random.randint(1, 2)))]))
        end = self._random.choice(["", "", "", f" # tag{next(self._number)}", f" // {NEVER}", " #a #b: c"])
        return speaker + body + end

    def _glued(self) -> list[str]:
        one, two, three = self._words(), self._words(), self._words()
        return self._random.choice(
            [
                [f"Ada: {one} <>", two], [f"{one}<>", f"{two} <>", three], [one, f"<> {two}"],
                [f"Ada: {one} <>", "<>,"],
                [f"{one} <>", "~ coins = 7", two], [f"{one} <>", "", two],
            ]
        )  # fmt: skip

    def _block(self, gathers: bool = True, depth: int = 0) -> list[str]:
        flag = BLOCKS[depth]
        inner = self._block(False, 1) if depth == 0 and self._random.random() < 0.3 else [self._line()]
        one, two, three = self._line(), self._line(), self._line()
        mark = self._random.choice(["", "- "]) if gathers else ""
        return [
            line if not number else f"  {line}"
            for number, line in enumerate(
                self._random.choice(
                    [
                        [f"{mark}{{ {flag}:", *inner, "}"],
                        [f"{mark}{{{flag}:", one, "- else:", *inner, "}"],
                        [f"{mark}{{{flag}:", one, f"- else: {two}", "}"],
                        [f"{mark}{{", f"- {flag}:", *inner, f"- not {flag}:", two, "}"],
                        [f"{mark}{{", f"- {flag} && coins == 7: {one}", "- else:", two, three, "}"],
                        [f"{mark}{{ coins:", f"- 7: {one}", f"- 8: {NEVER}", "- else:", f"{NEVER}", "}"],
                        [f"{mark}{{ {flag}: Ada: {self._words()} }}"],
                        [f"{mark}{{{flag}:{self._words()}}}"],
                        [f"{mark}{{{flag}: Ada: {self._words()}|Ben: {NEVER}}} # t"],
                        [f"{mark}{{{flag}:", "~ coins = 7", f"  {one}", "}"],
                    ]
                )
            )
        ]

    def _sequence(self) -> list[str]:
        kind = self._random.choice(["stopping", "cycle", "once", "shuffle", "shuffle once"])
        return [f"{{ {kind}:", *(f"- {self._words()}" for _ in range(2)), "-", f"  {self._words()}", "}"]

    def _content(self, gathers: bool = True) -> list[str]:
        out: list[str] = []
        for _ in range(self._random.randint(1, 4)):
            kind = self._random.choice(["line"] * 4 + ["block", "block", "glue", "code", "comment"])
            if kind == "line":
                out.append(self._line())
            elif kind == "block":
                out += self._block(gathers)
            elif kind == "glue":
                out += self._glued()
            elif kind == "code":
                out.append(self._random.choice(["~ coins = 7", "~ temp t1x = 3".replace("1", str(next(self._number)))]))
            else:
                out += self._random.choice([[f"// {NEVER}"], [f"/* {NEVER}", f"{NEVER} */"], ["TODO: write"]])
        return out

    def _choice(self, depth: int) -> list[str]:
        marks = self._random.choice(["* ", "*", "+ "]) * depth
        flag = CHOICES[depth - 1]
        label = self._random.choice(["", "", f" (c{next(self._number)}) "])
        condition = self._random.choice(
            [
                "",
                "",
                "",
                f"{{{flag}}} ",
                f"{{{flag}}} {{coins > 3}} ",
                "{coins > 3} ",
                f"{{not {flag}}}",
                f"{{{flag} || coins}}",
            ]
        )
        one, two, three = self._words(), self._words(), self._words()
        words = self._random.choice(
            [
                one, f"[{one}]", f"{one}[.] {two}.", f"{one}[, {two}], {three}", f"[{one}] {two}", f'"{one}"[] {two}',
                f"[\\[{one}\\]]", f"[{one} \\] {two}]", f"[{{sun:{one}|{NEVER}}}]", f"[{one}] Ada: {two}",
                f"{one} # t", f"[{one} \\# x] {two} # t", f"{one} {{coins}}", f"[{one}] // {NEVER}",
                f"[{one}]\n    ~ coins = 7", f"[{one}] {two} <>\n    {three}",
            ]
        )  # fmt: skip
        out = [f"{marks}{label}{condition}{words}"]
        return out + [f"    {line}" for line in self._content(gathers=False)]

    def _weave(self, depth: int, target: str) -> list[str]:
        out: list[str] = []
        for _ in range(self._random.randint(1, 3)):
            out += self._choice(depth)
            if depth == 1 and self._random.random() < 0.3:
                out += self._weave(2, target)
        out.append("* " * depth + f"-> {target}")
        gather = "- " * depth
        name = f"(g{next(self._number)}) "
        out += self._random.choice(
            [
                [f"{gather}{self._words()}"], [gather], [f"{gather}{name}{self._line()}"], [f"{gather}~ coins = 7"],
                [f"{gather}{name}"],
                [f"{gather}{{lamp:", f"  {self._line()}", "- else:", f"  {self._line()}", "}"],
                [f"{gather}{{sun: {self._words()}|{NEVER}}}"],
            ]
        )  # fmt: skip
        return out
