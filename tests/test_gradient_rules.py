"""Every gradient rule against central differences and, in float32, under onnxruntime."""

import pytest
from gradient_cases import CASES as PLAIN
from gradient_cases_images import CASES as IMAGES
from gradient_truth import check_against_differences, check_against_reference

from srmfast.graph.rules import RULES, stops

CASES = PLAIN + IMAGES
TABLE = [(case, variant) for case in CASES for variant in case.variants]


@pytest.mark.parametrize(("case", "variant"), TABLE, ids=str)
def test_a_gradient_equals_the_central_differences(case, variant):
    check_against_differences(case, variant)


@pytest.mark.parametrize(("case", "variant"), [row for row in TABLE if row[0].runtime], ids=str)
def test_a_gradient_under_onnxruntime_equals_the_reference(case, variant):
    check_against_reference(case, variant)


def test_every_rule_has_a_case():
    assert {kind for kind, rule in RULES.items() if rule is not stops} == {case.op for case in CASES}
