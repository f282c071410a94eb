"""Formulas of the pages as MathML, which browsers draw themselves: a page needs nothing from the network (Sphinx' MathJax would)."""
from latex2mathml.converter import convert

# TeX that changes sizes or spacing only, and that the converter does not know.
WITHOUT_EFFECT = ("\\big", "\\Big", "\\mathrel")


def inline(translator, node):
    """Write an inline formula."""
    translator.body.append(mathml(node.astext(), "inline"))


def block(translator, node):
    """Write a formula on a line of its own."""
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')


def mathml(text, display):
    """Return the MathML of a formula in TeX; display: inline or block."""
    for word in WITHOUT_EFFECT:
        text = text.replace(word + "\\", "\\").replace(word + "(", "(").replace(word + ")", ")")
        text = text.replace(word + "[", "[").replace(word + "]", "]")
    return convert(text, display=display)


def setup(app):
    """Sphinx calls this."""
    from docutils.nodes import SkipNode

    def drawn(draw):
        def visit(translator, node):
            draw(translator, node)
            raise SkipNode
        return visit, None
    app.add_html_math_renderer("mathml", drawn(inline), drawn(block))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
