"""The error tree of the domain: every leaf hangs on the root and is drawn."""

from crossbook.domain import errors


def test_every_error_hangs_on_the_root_and_is_drawn():
    roots = (errors.DomainError, errors.StageError)
    leaves = [one for one in vars(errors).values() if isinstance(one, type) and one not in roots]
    assert {one.__name__ for one in leaves} == {"MoneyError", "GridError", "FeeError", "BookError", "SymbolError"}
    for one in leaves:
        assert one.__bases__ == (errors.DomainError,)
        assert one.__name__ in (errors.__doc__ or "")
