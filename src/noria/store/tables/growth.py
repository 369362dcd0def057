"""The tables of what runs where: revisions, deployments, what was decided of them, and resources.

Instants are UTC nanoseconds since the epoch. No secret stands in any of them: a secret is named by
its reference.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Table, Text

from noria.store.tables.core import metadata

__all__ = ["deployment_decisions", "deployments", "resources", "revision_evaluations", "revisions"]

revisions = Table(
    "revisions",
    metadata,
    # The beginning of the SHA-256 of its parts.
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("file", Text, nullable=False),
    # The names of its applications, as a JSON array.
    Column("apps", Text, nullable=False),
    # Code, pins, configuration, indexes and models, as a JSON object.
    Column("parts", Text, nullable=False),
)

# Which evaluations asked which revision.
revision_evaluations = Table(
    "revision_evaluations",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("folder", Text, primary_key=True),
    Column("contestant", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("target", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    # null while the first one is on its way
    Column("revision", Text),
    # What a rollback goes back to.
    Column("previous", Text),
    Column("canary", Text),
    Column("share", Double),
    # The decisions of the canary as they stand, as JSON.
    Column("evidence", Text),
    # What is on its way: a deployment that was cut off shows here.
    Column("pending", Text),
    # deploying, live, written, canary, failed, destroyed
    Column("state", Text, nullable=False),
    Column("address", Text),
    Column("error", Text),
    Column("at", BigInteger, nullable=False),
)

deployment_decisions = Table(
    "deployment_decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("target", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("revision", Text, nullable=False),
    # deploy, canary, promote, rollback, destroy
    Column("action", Text, nullable=False),
    # done, refused, failed
    Column("outcome", Text, nullable=False),
    # a person's name, or `noria` where the evidence decided
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # what it was decided on, as JSON
    Column("figures", Text, nullable=False),
)

resources = Table(
    "resources",
    metadata,
    Column("name", Text, primary_key=True),
    # database, store, provider, cluster, registry
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    # the reference of its secret
    Column("secret", Text),
    Column("owner", Text, nullable=False),
    # groups that may use it, as a JSON array
    Column("grants", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("tested_ns", BigInteger),
    # null where it was not tested; else "" or what went wrong
    Column("problem", Text),
)
