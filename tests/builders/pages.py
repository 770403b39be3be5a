"""A page, read back as a tree of elements."""

from html.parser import HTMLParser

VOID = {"br", "meta", "link", "hr"}


class Tree(HTMLParser):
    """Follows open tags; anything that does not close in order is an error."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def tree_of(text):
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    return tree
