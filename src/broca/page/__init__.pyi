# The public names of broca.page, with their types: loaded on first use.

from broca.page.blocks import Block as Block
from broca.page.blocks import Cell as Cell
from broca.page.blocks import Chart as Chart
from broca.page.blocks import Column as Column
from broca.page.blocks import Commands as Commands
from broca.page.blocks import Details as Details
from broca.page.blocks import Facts as Facts
from broca.page.blocks import Heading as Heading
from broca.page.blocks import Image as Image
from broca.page.blocks import Ladder as Ladder
from broca.page.blocks import Matrix as Matrix
from broca.page.blocks import Note as Note
from broca.page.blocks import Quotes as Quotes
from broca.page.blocks import Section as Section
from broca.page.blocks import Table as Table
from broca.page.blocks import Text as Text
from broca.page.blocks import Title as Title
from broca.page.blocks import Tokens as Tokens
from broca.page.blocks import Tree as Tree
from broca.page.blocks import section as section
from broca.page.record import Record as Record
