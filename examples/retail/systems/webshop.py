"""The web shop's own service: hears how much is in stock, and what became of its orders.

``python -m esb.examples.retail.systems.webshop --record webshop.db --port 8105``

| request                          | answer                                  |
| -------------------------------- | --------------------------------------- |
| ``PUT /stock/WAREHOUSE/ARTICLE`` | 201 new, 200 replaced                   |
| ``PUT /status/NUMBER``           | the same: confirmed, or cancelled       |
| ``GET …``                        | the document at either, or 404          |
| ``GET /health``                  | 200                                     |

What its customers order is posted by ``esb.examples.retail.systems.shoppers``.
"""

from __future__ import annotations

from esb.examples.retail.systems import documents, service


def main() -> None:
    """Run until a signal."""
    chosen = service.parser("webshop", "A web shop's HTTP service.").parse_args()
    door = documents.handler(documents.Documents(chosen.record), ("/stock/", "/status/"))
    service.serve(door, chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
