"""The verb upload: a release on the Hugging Face Hub, under the tag of its version."""

from finetune.releasing.check import problems_of
from finetune.releasing.settings import UploadSettings
from lamae.errors import InputError
from lamae.release.description import read_description
from lamae.release.hub import HubName, upload_release


def upload(settings: UploadSettings) -> list[str]:
    """Check and upload a release, and return where it is.

    Raises InputError where it is not right, or its version is there already.
    """
    description = read_description(settings.release)
    problems = problems_of(settings.release)
    if description is None or problems:
        raise InputError(
            f"release {settings.release}",
            value="; ".join(problems),
            expected="a release that `check` accepts",
            remedy="Make it again with `release`.",
        )
    done = upload_release(
        settings.release,
        HubName.parse(settings.to),
        version=description.version,
        private=settings.private,
    )
    return [f"{description.name} {description.version}: {done.name}", *done.notes]
