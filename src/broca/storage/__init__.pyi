# The public names of broca.storage, with their types: loaded on first use.

from broca.storage.digests import digest as digest
from broca.storage.files import filling as filling
from broca.storage.files import legible as legible
from broca.storage.files import probe as probe
from broca.storage.files import read as read
from broca.storage.files import replacing as replacing
from broca.storage.files import settle as settle
from broca.storage.files import write as write
from broca.storage.files import write_json as write_json
from broca.storage.files import writing as writing
from broca.storage.links import inside as inside
from broca.storage.links import refuse_links as refuse_links
from broca.storage.lock import hold_lock as hold_lock
from broca.storage.lock import is_locked as is_locked
from broca.storage.parse import parse_json as parse_json
from broca.storage.parse import parse_toml as parse_toml
from broca.storage.parse import read_json as read_json
from broca.storage.parse import validate as validate
from broca.storage.temporary import TEMPORARY as TEMPORARY
from broca.storage.temporary import sweep as sweep
from broca.storage.tensors import Source as Source
from broca.storage.tensors import read_tensors as read_tensors
from broca.storage.tensors import tensor_header as tensor_header
from broca.storage.tensors import tensors_of as tensors_of
