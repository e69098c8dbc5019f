# SPDX-License-Identifier: Apache-2.0
from kvsfaults import make_faulty_node  # noqa: F401 (pytest finds fixtures by name)
from kvsfixtures import *  # noqa: F401,F403 (pytest finds fixtures and hooks by name)
