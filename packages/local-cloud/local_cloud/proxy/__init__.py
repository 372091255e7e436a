"""A proxy on loopback, so that programs which write AWS's hosts into their code reach this cloud and not AWS.

`AWS_ENDPOINT_URL` leads every client that asks for no host. The SageMaker SDK names `https://sts.REGION.amazonaws.com`, others
name S3's. `env` sets HTTPS_PROXY to this proxy and AWS_CA_BUNDLE to a certificate that only this cloud has the key of. What goes
to AWS's hosts ends here: TLS is taken off, and the cloud answers or refuses by name. Everything else passes through unread, by
the proxy that was set before. It is a process of its own, since the cloud's process may connect to nothing but loopback.
`LOCAL_CLOUD_PROXY=0` leaves it out.
"""
