"""A stranger's template ends soon and stays small, and what real chat templates do still works."""

import time

import pytest
from jinja2 import TemplateError

from metier.decoding.sandbox import BoundedEnvironment, TemplateLimitError, render


def text(source: str, **variables):
    return render(BoundedEnvironment().from_string(source), variables)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(10**9) %}x{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10 ** 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'x'.ljust(10**10) }}",
        "{{ 'x'|center(10**10) }}",
        "{{ lipsum(100000) }}",
        "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
        "{% set x = 'ab' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x }}",
        "{% set x = 'ab' %}" + "{% set x = x|replace('a', 'aa')|replace('b', 'bb') %}" * 40 + "{{ x }}",
        "{{ ('x' * 4000)|join('y' * 4000) }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro a(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "a(" * 40 + "'ab'" + ")" * 40 + " }}",
        "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ none.x.y }}",
    ],
)
def test_it_ends_soon_with_an_error(source: str) -> None:
    started = time.process_time()
    with pytest.raises(TemplateError):
        text(source, text="x" * 20_000)
    assert time.process_time() - started < 5


def test_the_error_names_the_bound() -> None:
    with pytest.raises(TemplateLimitError, match="steps"):
        text("{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for m in messages %}{{ loop.index }}{{ '|' if not loop.last }}{% endfor %}", "1|2"),
        ("{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ m.content }}{% endfor %}", "hi"),
        ("{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}", "role=system;content=be;"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{{ messages|map(attribute='role')|join(', ') }}", "system, user"),
        ("{{ 'a' ~ 1 ~ 'b' }}{{ '%s-%03d' % ('x', 7) }}{{ 'ab' * 2 }}{{ 2 ** 10 }}", "a1bx-007abab1024"),
        ("{% set x %}  {{ messages[1].content }} {% endset %}[{{ x|trim }}]", "[hi]"),
        ("{{ messages[1].content.replace('h', 'H').strip() }}{{ 'x'|indent(2, true) }}", "Hi  x"),
        ("{% for m in messages recursive %}{{ m.role[0] }}{% endfor %}{{ range(3)|list }}", "su[0, 1, 2]"),
        ("{% for m in [] %}{% else %}none{% endfor %}{{ loop is defined }}", "noneFalse"),
    ],
)
def test_what_templates_do_still_works(source: str, expected: str) -> None:
    assert text(source, messages=[{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]) == expected


def test_each_rendering_has_its_own_bounds() -> None:
    template = BoundedEnvironment().from_string("{% for a in range(1500000) %}{% endfor %}done")
    assert render(template, {}) == render(template, {}) == "done"
