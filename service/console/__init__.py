"""What operators and supervisors see in a browser.

Pages are rendered here, kept live by small modules, and load nothing from elsewhere. It may import http and all below.
A page says nothing that the API does not say, and works without a mouse.
"""
