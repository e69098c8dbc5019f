# SPDX-License-Identifier: Apache-2.0
from kvsfixtures import *  # noqa: F401,F403 (pytest finds fixtures and hooks by name)
from kvscluster import *   # noqa: F401,F403
