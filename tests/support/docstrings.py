"""What the source says of the fields of a class, each in a text below it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def of_fields(kind: type) -> dict[str, str]:
    """Field -> the text below it."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = str(text.value.value)
    return found
