"""The search service: keeps one document for each order and each stock level; putting it again replaces it.

``python -m esb.examples.retail.systems.search --record search.db --port 8102``

| request                          | answer                                             |
| -------------------------------- | -------------------------------------------------- |
| ``PUT /orders/ID``               | 201 new, 200 replaced                              |
| ``GET /orders/ID``               | the document, or 404                               |
| ``GET /orders?q=…``              | the numbers of the orders whose text has the words |
| ``PUT /stock/WAREHOUSE/ARTICLE`` | 201 new, 200 replaced; GET as above                |
| ``GET /health``                  | 200                                                |
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from esb.examples.retail.systems import documents, service


def handler(index: documents.Documents) -> type[service.Handler]:
    """The search service's door."""
    keeper = documents.handler(index, ("/orders/", "/stock/"))

    class Door(keeper):  # type: ignore[misc, valid-type]
        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            place = urlsplit(self.path)
            if place.path == "/orders":
                self.answer(200, index.find("/orders/", " ".join(parse_qs(place.query).get("q", []))))
            else:
                super().do_GET()

    return Door


def main() -> None:
    """Run until a signal."""
    chosen = service.parser("search", "A search service over HTTP.").parse_args()
    service.serve(handler(documents.Documents(chosen.record)), chosen.port, with_parent=chosen.with_parent)


if __name__ == "__main__":
    main()
