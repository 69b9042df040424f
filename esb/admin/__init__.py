"""The admin interface: pages rendered on the server, for those who watch the traffic and repair it.

One module an area (``overview``, ``messages``, ``users`` …). A new one needs

1. ``esb/admin/<area>.py`` with ``def blueprint(services: Services) -> flask.Blueprint``, the blueprint named as the
   module, with an endpoint ``index``;
2. its templates in ``esb/admin/templates/<area>/``, extending ``base.html``, made of the macros in ``macros.html``
   (``{% import "macros.html" as ui with context %}``);
3. one line in ``esb/admin/areas.py``: that puts it into the application, the navigation and the keyboard's map.

What every area gets without asking: nobody sees a page without signing in; whoever is signed in may read.
``@requires("operator")`` below the route says otherwise, ``@public`` opens a page to everybody. Every POST carries the
token of ``ui.token()`` (``ui.act`` and ``ui.form`` write it) or is refused. Pages carry no inline script and no
``style=`` attribute: the browser would ignore both. An act is a POST that calls one function of the store or the
workers, the same as the command line does, with ``pages.who()`` and ``pages.reason()`` for the audit, says what came
of it with ``pages.notice(…)`` and answers ``pages.back(…)``.

An element with an ``id`` and ``data-live`` is kept up to date: the script asks for the same page every few seconds
and exchanges those elements when something changed.
"""
