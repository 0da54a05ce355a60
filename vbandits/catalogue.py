"""What `vbandits list` shows."""

import inspect

from vbandits.registry import ENVIRONMENTS, PRESETS, load


def agents() -> list[dict[str, str]]:
    """Returns the presets: name, posterior, rule, and what the posterior is."""
    from vbandits.registry import POSTERIORS

    rows = []
    for name, preset in PRESETS.items():
        posterior = preset["posterior"]
        about = (
            _summary(load(POSTERIORS[posterior["kind"]])) if posterior else "Plays any arm; the yardstick of regret."
        )
        rows.append(
            {
                "agent": name,
                "posterior": posterior["kind"] if posterior else "none",
                "rule": preset["rule"]["kind"],
                "about": about,
            }
        )
    return rows


def environments() -> list[dict[str, str]]:
    """Returns the native environments: id, parameters with their defaults, and what they are."""
    rows = []
    for name, (vector, _) in ENVIRONMENTS.items():
        cls = load(vector)
        parameters = [
            f"{p.name}={p.default!r}"
            for p in inspect.signature(cls).parameters.values()
            if p.name not in ("num_envs", "device")
        ]
        rows.append({"environment": name, "kwargs": ", ".join(parameters), "about": _summary(cls)})
    return rows


def methods() -> list[dict[str, str]]:
    """Returns the presets of supervised methods: name, posterior, and what the posterior is."""
    from vbandits.registry import METHODS, POSTERIORS

    return [
        {
            "method": name,
            "posterior": preset["posterior"]["kind"],
            "about": _summary(load(POSTERIORS[preset["posterior"]["kind"]])),
        }
        for name, preset in METHODS.items()
        if preset["posterior"]["kind"] in POSTERIORS
    ]


def learners() -> list[dict[str, str]]:
    """Returns the presets of learners, but for their acquisition: name, posterior, and what the posterior is."""
    from vbandits.registry import LEARNERS, POSTERIORS

    return [
        {
            "learner": name,
            "posterior": preset["posterior"]["kind"],
            "about": _summary(load(POSTERIORS[preset["posterior"]["kind"]])),
        }
        for name, preset in LEARNERS.items()
    ]


def acquisitions() -> list[dict[str, str]]:
    """Returns the acquisitions: name, fields with their defaults, what they are for, and what they are."""
    from dataclasses import fields

    from vbandits.registry import ACQUISITIONS

    rows = []
    for name, place in ACQUISITIONS.items():
        cls = load(place)
        shown = ", ".join(f"{field.name}={field.default!r}" for field in fields(cls))
        rows.append(
            {"acquisition": name, "fields": shown, "for": " and ".join(sorted(cls.tasks)), "about": _summary(cls)}
        )
    return rows


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")
