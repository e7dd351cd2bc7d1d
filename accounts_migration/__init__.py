"""Moves a legacy bank database into the Account Processing System and proves that nothing was lost."""
