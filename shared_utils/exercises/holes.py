"""Taking the body out of a function: all other bytes of the file stay as they are."""

import ast

from shared_utils.errors import UserError


def find(source: bytes, name: str) -> ast.FunctionDef:
    """Return the node of "function" or "Class.function".

    Raises KeyError when there is no such function, and SyntaxError when the source is not Python.
    """
    node = ast.parse(source)
    for part in name.split("."):
        inner = [n for n in node.body if getattr(n, "name", None) == part]
        if not inner:
            raise KeyError(name)
        node = inner[-1]
    return node


def body_lines(source: bytes, name: str) -> tuple[int, int]:
    """Return the lines [first, last) of a function's body behind its docstring, counted from 0.

    Raises as `find` does.
    """
    node = find(source, name)
    first = node.body[0].lineno - 1
    if ast.get_docstring(node) is not None:
        first = node.body[0].end_lineno
    return first, node.end_lineno


def has_more(source: bytes, line: int) -> bool:
    """Return whether the function around a line does more than what stands in that line."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    around = [node for node in functions if node.lineno <= line <= node.end_lineno]
    node = max(around, key=lambda node: node.lineno, default=None)
    return node is None or len(node.body) > 1 + (ast.get_docstring(node) is not None)


def body(source: bytes, name: str) -> bytes:
    """Return the body of a function, without its docstring. Raises as `find` does."""
    first, last = body_lines(source, name)
    return b"".join(source.splitlines(keepends=True)[first:last])


def empty(source: bytes, name: str, words: str) -> bytes:
    """Return the source with the body of a function replaced by `raise NotImplementedError(words)`.

    Signature, docstring and all other lines stay byte for byte. Raises as `find` does.
    """
    first, last = body_lines(source, name)
    lines = source.splitlines(keepends=True)
    newline = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
    depth = 4 * (1 + name.count("."))
    line = b" " * depth + f'raise NotImplementedError("{words}")'.encode() + newline
    return b"".join([*lines[:first], line, *lines[last:]])


def read_function(path, name: str) -> bytes:
    """Return the body of a function in a file. Raises UserError when it cannot be found there."""
    try:
        return body(path.read_bytes(), name)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: make a new hand-out with start") from error
    except SyntaxError as error:
        raise UserError(
            f"{path} is not valid Python (line {error.lineno}): correct it first"
        ) from error
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} has no function {name} any more: put it back first") from error
